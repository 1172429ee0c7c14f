(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specs = read("bk-specs");
  const darkConfig = read("bk-dark");
  const draw = (inDark) => Promise.all(specs.map((spec, i) => {
    const place = document.getElementById(`bk-chart-${i}`);
    if (!place) return null;
    place.removeAttribute("title");
    return vegaEmbed(place, inDark ? { ...spec, config: darkConfig } : spec, {
      renderer: "svg",
      tooltip: { theme: inDark ? "dark" : "light" },
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: `chart-${i + 1}`,
    }).catch((error) => { place.textContent = `This chart could not be drawn: ${error.message}`; });
  })).then(() => { document.documentElement.dataset.charts = specs.length; });
  dark.addEventListener("change", () => draw(dark.matches));
  addEventListener("beforeprint", () => {
    for (const hidden of document.querySelectorAll(".bk-more")) hidden.open = true;
    if (dark.matches) draw(false);
  });
  addEventListener("afterprint", () => { if (dark.matches) draw(true); });
  draw(dark.matches);
})();
