/* The floor that a load generator is held against: a bare epoll client that stamps each read and little else.
 *
 *   epoll_client HOST PORT STREAMS SECONDS TOKENS [--core N] [--ramp-ms MS]
 *
 * Keeps STREAMS requests of TOKENS tokens going, each on its own kept-alive connection: the end of a response (found by
 * its terminating chunk) sends the next request at once. Connections are made before the window; --ramp-ms spreads the
 * first requests evenly over that time (0: all at once, so the streams run in lockstep). After SECONDS it prints one
 * line of JSON and leaves, dropping what is in flight. TTFT runs from just before the request's send to just after the
 * read that held the first token's chunk. CPU is user + system of the window alone, per token chunk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SHORTEST_TOKEN_CHUNK 32 /* `data: [DONE]` is shorter, an event with a token never is */

enum state { HEAD, SIZE, DATA, END_OF_BODY };

struct stream {
    int fd, started;
    enum state state;
    uint32_t number;
    uint64_t left; /* bytes of the chunk still to come, its CRLF included */
    uint64_t size; /* of the chunk; while in SIZE, what is read of it */
    int head_match; /* how much of CRLFCRLF the head's (or body's) end has shown */
    int64_t sent_ns, last_ns;
};

struct series {
    float *ms;
    size_t count, room;
};

static struct series ttfts, gaps;
static uint64_t chunks, reads, sent_requests, done_requests;
static const char *host;
static int tokens;

static void die(const char *what) {
    fprintf(stderr, "epoll_client: %s: %s\n", what, errno ? strerror(errno) : "unexpected answer");
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void add(struct series *s, int64_t ns) {
    if (s->count == s->room && !(s->ms = realloc(s->ms, (s->room = s->room ? 2 * s->room : 1 << 16) * sizeof *s->ms))) die("memory");
    s->ms[s->count++] = (float)((double)ns / 1e6);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double at_share(const struct series *s, double share) {
    return s->count ? (double)s->ms[(size_t)(share * (double)(s->count - 1) + 0.5)] : 0.0;
}

static void send_request(struct stream *s) {
    char body[128], text[512];
    int body_size = snprintf(body, sizeof body, "{\"model\":\"paced\",\"prompt\":\"hello\",\"max_tokens\":%d,\"stream\":true}", tokens);
    int size = snprintf(text, sizeof text,
                        "POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                        "X-Request-Id: c%u-%llu\r\nContent-Length: %d\r\n\r\n%s",
                        host, s->number, (unsigned long long)sent_requests, body_size, body);
    s->state = HEAD;
    s->head_match = 0;
    s->last_ns = 0;
    s->started = 1;
    s->sent_ns = now_ns();
    if (send(s->fd, text, (size_t)size, MSG_NOSIGNAL) != size) die("send");
    sent_requests++;
}

static void end_chunk(struct stream *s, int64_t at_ns) {
    if (s->size < SHORTEST_TOKEN_CHUNK) return;
    chunks++;
    if (s->last_ns) add(&gaps, at_ns - s->last_ns);
    else add(&ttfts, at_ns - s->sent_ns);
    s->last_ns = at_ns;
}

/* Follows the chunked framing through one read: 1 = the response has ended. */
static int follow(struct stream *s, const char *p, const char *end, int64_t at_ns) {
    while (p < end) {
        if (s->state == DATA) {
            uint64_t here = (uint64_t)(end - p) < s->left ? (uint64_t)(end - p) : s->left;
            p += here;
            if ((s->left -= here)) return 0;
            end_chunk(s, at_ns);
            s->state = SIZE;
            s->size = 0;
        } else if (s->state == SIZE) {
            char c = *p++;
            if (c >= '0' && c <= '9') s->size = 16 * s->size + (uint64_t)(c - '0');
            else if (c >= 'a' && c <= 'f') s->size = 16 * s->size + (uint64_t)(c - 'a' + 10);
            else if (c == '\n') {
                s->state = s->size ? DATA : END_OF_BODY;
                s->left = s->size + 2;
                s->head_match = 2;
            } else if (c != '\r') die("chunk size");
        } else {
            char c = *p++;
            s->head_match = c == "\r\n\r\n"[s->head_match] ? s->head_match + 1 : c == '\r';
            if (s->head_match < 4) continue;
            if (s->state == END_OF_BODY) return 1;
            s->state = SIZE;
            s->size = 0;
        }
    }
    return 0;
}

static double cpu_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void run(struct stream *streams, int count, double seconds, double ramp_ms) {
    static char buffer[1 << 16];
    struct epoll_event ready[512];
    int epoll_fd = epoll_create1(0), started = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &streams[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, streams[i].fd, &e)) die("epoll_ctl");
    }
    double cpu_before = cpu_us();
    int64_t begin_ns = now_ns(), end_ns = begin_ns + (int64_t)(seconds * 1e9), now = begin_ns;
    while (now < end_ns) {
        while (started < count && (double)(now - begin_ns) >= ramp_ms * 1e6 * started / count) send_request(&streams[started++]);
        int n = epoll_wait(epoll_fd, ready, 512, started < count ? 1 : 100);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct stream *s = ready[i].data.ptr;
            ssize_t size = recv(s->fd, buffer, sizeof buffer, 0);
            int64_t at_ns = now_ns();
            if (size <= 0) {
                if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
                die("the server closed a connection");
            }
            reads++;
            if (s->state == HEAD && s->head_match == 0 && (size < 12 || memcmp(buffer, "HTTP/1.1 200", 12))) die("status");
            if (follow(s, buffer, buffer + size, at_ns)) {
                done_requests++;
                send_request(s);
            }
        }
        now = now_ns();
    }
    double wall_s = (double)(now - begin_ns) / 1e9, cpu = cpu_us() - cpu_before;
    qsort(ttfts.ms, ttfts.count, sizeof(float), by_size);
    qsort(gaps.ms, gaps.count, sizeof(float), by_size);
    printf("{\"streams\": %d, \"chunks\": %llu, \"reads\": %llu, \"requests\": %llu, \"ttft_p50_ms\": %.3f, \"ttft_p99_ms\": %.3f, "
           "\"gap_p50_ms\": %.3f, \"gap_p99_ms\": %.3f, \"cpu_us_per_chunk\": %.3f, \"cpu_share\": %.3f, \"wall_s\": %.3f}\n",
           count, (unsigned long long)chunks, (unsigned long long)reads, (unsigned long long)done_requests, at_share(&ttfts, 0.5),
           at_share(&ttfts, 0.99), at_share(&gaps, 0.5), at_share(&gaps, 0.99), chunks ? cpu / (double)chunks : 0.0,
           cpu / 1e6 / wall_s, wall_s);
}

int main(int argc, char **argv) {
    struct rlimit files;
    double ramp_ms = 0;
    if (argc < 6 || argc % 2) {
        fprintf(stderr, "usage: epoll_client HOST PORT STREAMS SECONDS TOKENS [--core N] [--ramp-ms MS]\n");
        return 2;
    }
    for (int i = 6; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--ramp-ms")) ramp_ms = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--core")) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET((size_t)atoi(argv[i + 1]), &set);
            if (sched_setaffinity(0, sizeof set, &set)) die("--core");
        } else {
            fprintf(stderr, "epoll_client: no such option: %s\n", argv[i]);
            return 2;
        }
    }
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    host = argv[1];
    tokens = atoi(argv[5]);
    int count = atoi(argv[3]), one = 1;
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, host, &there.sin_addr) != 1) die("HOST must be an IPv4 address");
    struct stream *streams = calloc((size_t)count, sizeof *streams);
    if (!streams) die("memory");
    for (int i = 0; i < count; i++) {
        streams[i].number = (uint32_t)i;
        streams[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (streams[i].fd < 0 || connect(streams[i].fd, (struct sockaddr *)&there, sizeof there)) die("connect");
        setsockopt(streams[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(streams[i].fd, F_SETFL, O_NONBLOCK);
    }
    run(streams, count, atof(argv[4]), ramp_ms);
    return 0;
}
