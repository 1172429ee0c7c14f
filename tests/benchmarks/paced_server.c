/* A paced SSE server whose truth is known: what it sent when, to the nanosecond.
 *
 *   paced_server PORT [--ttft-ms 50] [--gap-ms 20] [--tokens 200] [--log FILE] [--core N] [--until-stdin-closes]
 *
 * Listens on 127.0.0.1 (PORT 0: any free one) and prints "port N" once it does. One thread, one epoll.
 *
 * POST (any path, body by Content-Length, keep-alive) is answered by a stream in the format of vLLM's completions:
 * the head at once, token k (from 0) at `arrival + ttft + k * gap`, then `data: [DONE]` and the end of the body right
 * after the last token. "Arrival" is CLOCK_MONOTONIC just after the read that brought the request's last byte. One
 * token = one event = one HTTP chunk = one write. Each token's due time is computed from the arrival, so lateness does
 * not add up. `"max_tokens"` or `"max_completion_tokens"` in the body overrides --tokens.
 * GET /health, /version and /v1/models answer minimal JSON. GET /log writes FILE (the loop stands still meanwhile: ask
 * between runs). SIGTERM, SIGINT, and with --until-stdin-closes the end of stdin, write FILE and exit 0.
 *
 * FILE, little endian, all times CLOCK_MONOTONIC in ns:
 *   head      char magic[8] "PACEDLG1"; u64 requests; u64 tokens; i64 ttft_ns; i64 gap_ns; i64 epoch_offset_ns (add it
 *             to get CLOCK_REALTIME, as of writing)
 *   requests  one `struct record` each, in order of arrival, those still in flight or cut short included
 *   before    i64[tokens]  just before each token's write; a request's own are [first, first + written)
 *   after     i64[tokens]  just after it
 * paced.py reads it into numpy arrays.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 4096
#define MAX_BODY (256u << 20)
#define MAX_HEAD (64u << 10)
#define MAX_TOKENS (1u << 20)
#define PROMPT_TOKENS 16
/* Reads and writes take turns in small batches, so that neither a burst of arrivals delays tokens nor a burst of due
 * tokens makes an arrival look later than it was. */
#define EVENTS_A_TURN 16
#define TOKENS_A_TURN 8

struct record {
    char id[64]; /* X-Request-Id, else the number of the arrival; zero padded */
    int64_t accepted_ns, arrived_ns, ended_ns; /* ended: after the write that ended the body; 0 = never ended */
    uint64_t first;
    uint32_t connection, planned, written;
    uint32_t blocked; /* writes that the socket did not take at once: their `after` is not the time they left */
};

struct request {
    struct record record;
    int64_t *before, *after;
};

struct connection {
    int fd;
    uint32_t number;
    int64_t accepted_ns;
    char *in, *out;
    size_t in_used, in_size, out_used, out_sent, out_size;
    struct request *request; /* streaming when not NULL */
    int64_t due_ns;
    size_t heap_at;
    char completion_id[17];
    int close_after, waits_for_room, dead;
    struct connection *next_dead;
};

struct event {
    char *text;
    uint32_t size, id_at;
};

static int64_t ttft_ns = 50000000, gap_ns = 20000000;
static uint32_t default_tokens = 200;
static const char *log_path;
static int epoll_fd, listen_fd, timer_fd, signal_fd;
static char listen_mark, timer_mark, signal_mark, stdin_mark;
static struct request **requests;
static size_t request_count, request_room;
static struct connection **heap;
static size_t heap_count, heap_room;
static struct connection *dead_list;
static uint32_t connection_count;
static struct event *events_by_number;
static size_t events_ready;

static void die(const char *what) {
    fprintf(stderr, "paced_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grown(void *old, size_t bytes) {
    void *new = realloc(old, bytes);
    if (!new) die("out of memory");
    return new;
}

static int64_t now_on(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return now_on(CLOCK_MONOTONIC); }

static void heap_put(size_t at, struct connection *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void heap_settle(size_t at) {
    struct connection *c = heap[at];
    while (at && heap[(at - 1) / 2]->due_ns > c->due_ns) {
        heap_put(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap_count) break;
        if (child + 1 < heap_count && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= c->due_ns) break;
        heap_put(at, heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void heap_add(struct connection *c) {
    if (heap_count == heap_room) heap = grown(heap, (heap_room = heap_room ? 2 * heap_room : 1024) * sizeof *heap);
    heap_put(heap_count++, c);
    heap_settle(c->heap_at);
}

static void heap_remove(struct connection *c) {
    size_t at = c->heap_at;
    struct connection *last = heap[--heap_count];
    if (last == c) return;
    heap_put(at, last);
    heap_settle(at);
}

/* The HTTP chunk of token `number` (from 1), rendered once: only the completion's id differs between requests. */
static struct event rendered(uint32_t number, int final) {
    char body[512], chunk[544];
    int id_at_in_body = (int)strlen("data: {\"id\":\"cmpl-");
    int size = snprintf(body, sizeof body,
                        "data: {\"id\":\"cmpl-0000000000000000\",\"object\":\"text_completion\",\"created\":1700000000,"
                        "\"model\":\"paced\",\"choices\":[{\"index\":0,\"text\":\" word\",\"logprobs\":null,"
                        "\"finish_reason\":%s,\"stop_reason\":null}],\"usage\":{\"prompt_tokens\":%d,"
                        "\"total_tokens\":%u,\"completion_tokens\":%u}}\n\n",
                        final ? "\"length\"" : "null", PROMPT_TOKENS, PROMPT_TOKENS + number, number);
    int head = snprintf(chunk, sizeof chunk, "%x\r\n", size);
    struct event e = {grown(NULL, (size_t)(head + size + 2)), (uint32_t)(head + size + 2), (uint32_t)(head + id_at_in_body)};
    memcpy(e.text, chunk, (size_t)head);
    memcpy(e.text + head, body, (size_t)size);
    memcpy(e.text + head + size, "\r\n", 2);
    return e;
}

static void render_up_to(uint32_t tokens) {
    if (tokens <= events_ready) return;
    events_by_number = grown(events_by_number, tokens * sizeof *events_by_number);
    for (; events_ready < tokens; events_ready++) events_by_number[events_ready] = rendered((uint32_t)events_ready + 1, 0);
}

static void bury(struct connection *c) {
    if (c->dead) return;
    c->dead = 1;
    if (c->request) heap_remove(c);
    close(c->fd);
    c->next_dead = dead_list; /* freed after the turn: its events may still be in the batch */
    dead_list = c;
}

static void free_dead(void) {
    while (dead_list) {
        struct connection *c = dead_list;
        dead_list = c->next_dead;
        free(c->in);
        free(c->out);
        free(c);
    }
}

static void wait_for_room(struct connection *c, int wanted) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0), .data.ptr = c};
    if (c->waits_for_room == wanted) return;
    c->waits_for_room = wanted;
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

/* 1 = taken by the socket at once, 0 = (partly) kept for later, or the connection is gone. */
static int send_bytes(struct connection *c, const char *bytes, size_t size) {
    size_t sent = 0;
    if (c->dead) return 0;
    if (c->out_used == c->out_sent) {
        ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
        if (n == (ssize_t)size) return 1;
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            bury(c);
            return 0;
        }
        sent = n > 0 ? (size_t)n : 0;
        c->out_used = c->out_sent = 0;
    }
    size_t rest = size - sent;
    if (c->out_used + rest > c->out_size) c->out = grown(c->out, c->out_size = 2 * (c->out_used + rest));
    memcpy(c->out + c->out_used, bytes + sent, rest);
    c->out_used += rest;
    wait_for_room(c, 1);
    return 0;
}

static void send_kept(struct connection *c) {
    while (c->out_sent < c->out_used) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) bury(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    c->out_used = c->out_sent = 0;
    wait_for_room(c, 0);
    if (c->close_after && !c->request) bury(c);
}

static void send_answer(struct connection *c, const char *status, const char *json) {
    char answer[1024];
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
                        strlen(json), json);
    if (send_bytes(c, answer, (size_t)size) && c->close_after) bury(c);
}

static void refuse(struct connection *c, const char *status, const char *why) {
    char json[256];
    snprintf(json, sizeof json, "{\"error\":{\"message\":\"%s\"}}", why);
    c->close_after = 1;
    send_answer(c, status, json);
}

static int write_log(void) {
    FILE *f;
    uint64_t tokens = 0, count = request_count;
    int64_t offset = now_on(CLOCK_REALTIME) - now_ns();
    if (!log_path) return 0;
    if (!(f = fopen(log_path, "wb"))) return -1;
    for (size_t i = 0; i < request_count; i++) {
        requests[i]->record.first = tokens;
        tokens += requests[i]->record.written;
    }
    fwrite("PACEDLG1", 8, 1, f);
    fwrite(&count, 8, 1, f);
    fwrite(&tokens, 8, 1, f);
    fwrite(&ttft_ns, 8, 1, f);
    fwrite(&gap_ns, 8, 1, f);
    fwrite(&offset, 8, 1, f);
    for (size_t i = 0; i < request_count; i++) fwrite(&requests[i]->record, sizeof(struct record), 1, f);
    for (size_t i = 0; i < request_count; i++) fwrite(requests[i]->before, 8, requests[i]->record.written, f);
    for (size_t i = 0; i < request_count; i++) fwrite(requests[i]->after, 8, requests[i]->record.written, f);
    int bad = ferror(f);
    return fclose(f) || bad ? -1 : 0;
}

static void answer_get(struct connection *c, const char *path, size_t size) {
    char json[128];
    if (size == 7 && !memcmp(path, "/health", 7)) send_answer(c, "200 OK", "{}");
    else if (size == 8 && !memcmp(path, "/version", 8)) send_answer(c, "200 OK", "{\"version\":\"paced-1\"}");
    else if (size == 10 && !memcmp(path, "/v1/models", 10))
        send_answer(c, "200 OK",
                    "{\"object\":\"list\",\"data\":[{\"id\":\"paced\",\"object\":\"model\",\"created\":1700000000,"
                    "\"owned_by\":\"paced\",\"root\":\"paced\",\"parent\":null,\"max_model_len\":1048576}]}");
    else if (size == 4 && !memcmp(path, "/log", 4)) {
        if (!log_path || write_log()) {
            send_answer(c, "500 Internal Server Error", "{\"error\":{\"message\":\"no log written: give --log a path it can write\"}}");
            return;
        }
        snprintf(json, sizeof json, "{\"requests\":%zu}", request_count);
        send_answer(c, "200 OK", json);
    } else send_answer(c, "404 Not Found", "{\"error\":{\"message\":\"not found\"}}");
}

static uint32_t tokens_asked(const char *body, size_t size) {
    static const char *const names[] = {"\"max_completion_tokens\"", "\"max_tokens\""};
    for (int i = 0; i < 2; i++) {
        const char *end = body + size, *at = memmem(body, size, names[i], strlen(names[i]));
        uint64_t value = 0;
        int digits = 0;
        if (!at) continue;
        for (at += strlen(names[i]); at < end && (*at == ' ' || *at == ':'); at++) {}
        for (; at < end && *at >= '0' && *at <= '9' && digits < 8; at++, digits++) value = 10 * value + (uint64_t)(*at - '0');
        if (digits) return value < 1 ? 1 : value > MAX_TOKENS ? MAX_TOKENS : (uint32_t)value;
    }
    return default_tokens;
}

static void start_stream(struct connection *c, int64_t arrived_ns, const char *id, size_t id_size, const char *body, size_t size) {
    static const char head[] = "HTTP/1.1 200 OK\r\nserver: paced\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "transfer-encoding: chunked\r\n\r\n";
    struct request *r = calloc(1, sizeof *r);
    uint32_t tokens = tokens_asked(body, size);
    if (!r || !(r->before = malloc(2 * sizeof(int64_t) * tokens))) die("out of memory");
    r->after = r->before + tokens;
    if (id_size) memcpy(r->record.id, id, id_size < sizeof r->record.id ? id_size : sizeof r->record.id);
    else snprintf(r->record.id, sizeof r->record.id, "%zu", request_count);
    r->record.accepted_ns = c->accepted_ns;
    r->record.arrived_ns = arrived_ns;
    r->record.connection = c->number;
    r->record.planned = tokens;
    render_up_to(tokens);
    snprintf(c->completion_id, sizeof c->completion_id, "%016zx", request_count);
    if (request_count == request_room)
        requests = grown(requests, (request_room = request_room ? 2 * request_room : 4096) * sizeof *requests);
    requests[request_count++] = r;
    c->request = r;
    c->due_ns = arrived_ns + ttft_ns;
    heap_add(c);
    send_bytes(c, head, sizeof head - 1);
}

/* Takes one whole request off the buffer: 1 = taken, 0 = more bytes needed or the connection is gone. */
static int take_request(struct connection *c, int64_t arrived_ns) {
    const char *id = NULL, *line, *end;
    size_t id_size = 0, body_size = 0, head_size, whole;
    int is_post, is_chunked = 0;
    char *head_end = c->in_used ? memmem(c->in, c->in_used, "\r\n\r\n", 4) : NULL;
    if (!head_end) {
        if (c->in_used > MAX_HEAD) refuse(c, "431 Request Header Fields Too Large", "head over 64 KiB");
        return 0;
    }
    head_size = (size_t)(head_end - c->in) + 4;
    for (line = memmem(c->in, head_size, "\r\n", 2) + 2; line < head_end; line = end + 2) {
        end = memmem(line, head_size - (size_t)(line - c->in), "\r\n", 2);
        const char *value = memchr(line, ':', (size_t)(end - line));
        if (!value) continue;
        size_t name_size = (size_t)(value++ - line);
        while (value < end && *value == ' ') value++;
        if (name_size == 14 && !strncasecmp(line, "content-length", 14)) body_size = strtoull(value, NULL, 10);
        else if (name_size == 12 && !strncasecmp(line, "x-request-id", 12)) id = value, id_size = (size_t)(end - value);
        else if (name_size == 10 && !strncasecmp(line, "connection", 10)) c->close_after = !strncasecmp(value, "close", 5);
        else if (name_size == 17 && !strncasecmp(line, "transfer-encoding", 17)) is_chunked = 1;
    }
    if (is_chunked) return refuse(c, "411 Length Required", "send the body with Content-Length"), 0;
    if (body_size > MAX_BODY) return refuse(c, "413 Content Too Large", "body over 256 MiB"), 0;
    whole = head_size + body_size;
    if (c->in_used < whole) return 0;
    is_post = !memcmp(c->in, "POST ", 5);
    if (is_post) start_stream(c, arrived_ns, id, id_size, c->in + head_size, body_size);
    else if (!memcmp(c->in, "GET ", 4)) {
        const char *path = c->in + 4;
        answer_get(c, path, strcspn(path, " ?\r"));
    } else refuse(c, "405 Method Not Allowed", "GET or POST");
    if (c->dead) return 0;
    memmove(c->in, c->in + whole, c->in_used - whole);
    c->in_used -= whole;
    return 1;
}

static void read_more(struct connection *c) {
    ssize_t n;
    size_t room;
    do {
        if (c->in_size - c->in_used < 4096) c->in = grown(c->in, c->in_size = 2 * c->in_size + 8192);
        room = c->in_size - c->in_used;
        n = recv(c->fd, c->in + c->in_used, room, 0);
        if (n > 0) c->in_used += (size_t)n;
    } while (n == (ssize_t)room);
    int64_t arrived_ns = now_ns();
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        bury(c);
        return;
    }
    while (!c->dead && !c->request && take_request(c, arrived_ns)) {}
}

static void send_token(struct connection *c) {
    struct request *r = c->request;
    uint32_t k = r->record.written;
    int final = k + 1 == r->record.planned, taken;
    struct event e = final ? rendered(k + 1, 1) : events_by_number[k];
    memcpy(e.text + e.id_at, c->completion_id, 16);
    r->before[k] = now_ns();
    taken = send_bytes(c, e.text, e.size);
    r->after[k] = now_ns();
    if (final) free(e.text);
    if (c->dead) return;
    r->record.written = k + 1;
    r->record.blocked += !taken;
    if (!final) {
        c->due_ns = r->record.arrived_ns + ttft_ns + (int64_t)(k + 1) * gap_ns;
        heap_settle(c->heap_at);
        return;
    }
    heap_remove(c);
    c->request = NULL;
    send_bytes(c, "e\r\ndata: [DONE]\n\n\r\n", 19);
    taken = send_bytes(c, "0\r\n\r\n", 5);
    r->record.ended_ns = now_ns();
    if (c->close_after && taken) bury(c);
    while (!c->dead && !c->request && c->in_used && take_request(c, now_ns())) {}
}

static void accept_all(void) {
    for (;;) {
        int one = 1, fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) fprintf(stderr, "paced_server: accept: %s\n", strerror(errno));
            return;
        }
        struct connection *c = calloc(1, sizeof *c);
        if (!c) die("out of memory");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->number = connection_count++;
        c->accepted_ns = now_ns();
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
    }
}

static void watch(int fd, void *mark) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = mark};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void serve(void) {
    struct epoll_event ready[EVENTS_A_TURN];
    int64_t armed_ns = 0;
    for (;;) {
        int wait_ms = -1;
        if (heap_count) {
            if (heap[0]->due_ns <= now_ns()) wait_ms = 0;
            else if (heap[0]->due_ns != armed_ns) {
                armed_ns = heap[0]->due_ns;
                struct itimerspec at = {.it_value = {armed_ns / 1000000000, armed_ns % 1000000000}};
                if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL)) die("timerfd_settime");
            }
        }
        int n = epoll_wait(epoll_fd, ready, EVENTS_A_TURN, wait_ms);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            void *who = ready[i].data.ptr;
            if (who == &listen_mark) accept_all();
            else if (who == &timer_mark) {
                uint64_t ticks;
                if (read(timer_fd, &ticks, sizeof ticks) > 0) armed_ns = 0;
            } else if (who == &signal_mark) return;
            else if (who == &stdin_mark) {
                char waste[64];
                if (read(0, waste, sizeof waste) <= 0) return;
            } else {
                struct connection *c = who;
                if (!c->dead && ready[i].events & EPOLLOUT) send_kept(c);
                if (!c->dead && ready[i].events & ~(uint32_t)EPOLLOUT) read_more(c);
            }
        }
        free_dead();
        for (int i = 0; i < TOKENS_A_TURN && heap_count && heap[0]->due_ns <= now_ns(); i++) send_token(heap[0]);
        free_dead();
    }
}

static void listen_on(int port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof here;
    int one = 1;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&here, sizeof here) || listen(listen_fd, BACKLOG)) die("listen");
    getsockname(listen_fd, (struct sockaddr *)&here, &size);
    printf("port %d\n", ntohs(here.sin_port));
    fflush(stdout);
}

static void pin_to(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof set, &set)) die("--core");
}

static void usage(void) {
    fprintf(stderr, "usage: paced_server PORT [--ttft-ms MS] [--gap-ms MS] [--tokens N] [--log FILE] [--core N] [--until-stdin-closes]\n");
    exit(2);
}

int main(int argc, char **argv) {
    int with_stdin = 0;
    struct rlimit files;
    sigset_t stops;
    if (argc < 2) usage();
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--until-stdin-closes")) with_stdin = 1;
        else if (i + 1 == argc) usage();
        else if (!strcmp(argv[i], "--ttft-ms")) ttft_ns = (int64_t)(atof(argv[++i]) * 1e6);
        else if (!strcmp(argv[i], "--gap-ms")) gap_ns = (int64_t)(atof(argv[++i]) * 1e6);
        else if (!strcmp(argv[i], "--tokens")) default_tokens = (uint32_t)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--log")) log_path = argv[++i];
        else if (!strcmp(argv[i], "--core")) pin_to(atoi(argv[++i]));
        else usage();
    }
    if (default_tokens < 1 || default_tokens > MAX_TOKENS || ttft_ns < 0 || gap_ns < 0) usage();
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    signal_fd = signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC);
    if (epoll_fd < 0 || timer_fd < 0 || signal_fd < 0) die("set-up");
    render_up_to(default_tokens);
    watch(timer_fd, &timer_mark);
    watch(signal_fd, &signal_mark);
    if (with_stdin) watch(0, &stdin_mark);
    listen_on(atoi(argv[1]));
    watch(listen_fd, &listen_mark);
    serve();
    if (write_log()) die(log_path);
    return 0;
}
