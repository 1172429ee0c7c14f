(() => {
  const table = document.getElementById("bk-runs");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const search = document.getElementById("bk-search");
  const parts = document.getElementById("bk-parts");
  const shown = document.getElementById("bk-shown");
  const texts = new Map(rows.map((row) => [row, `${row.textContent} ${row.cells[1].title}`.toLowerCase()]));
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const apart = row.classList.contains("bk-part") && !(parts && parts.checked);
      row.hidden = apart || !words.every((word) => texts.get(row).includes(word));
      if (!row.hidden) count += 1;
    }
    shown.textContent = `${count} shown`;
  };
  const heads = [...table.tHead.rows[0].cells];
  const sort = (head) => {
    const column = heads.indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.v;
    const numeric = rows.every((row) => value(row) === "" || Number.isFinite(Number(value(row))));
    const order = (a, b) => {
      const [one, other] = [value(a), value(b)];
      // What has no value stays at the end, whichever way.
      if (one === "" || other === "") return (one === "") - (other === "");
      const by = numeric ? Number(one) - Number(other) : one.localeCompare(other);
      return up ? by : -by;
    };
    body.append(...[...rows].sort(order));
  };
  for (const head of heads) head.querySelector("button")?.addEventListener("click", () => sort(head));
  search.addEventListener("input", show);
  parts?.addEventListener("change", show);
  document.querySelector(".bk-tools").hidden = false;
  show();
})();
