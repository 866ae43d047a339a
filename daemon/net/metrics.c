/* metrics.c - writing /metrics; see metrics.h */
#include "net/metrics.h"

#include "base/log.h"
#include "base/usage.h"
#include "session/admit.h"
#include "session/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- the text format ----------------------------------------------------------------- */

typedef struct page {
    shoal_buf *out;
    int result; /* sticky */
} page;

static void print(page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(page *p, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof line || shoal_buf_append(p->out, line, (size_t)n) < 0)
        p->result = -1;
}

static void head(page *p, const char *name, const char *type, const char *help)
{
    print(p, "# HELP shoal_%s %s\n# TYPE shoal_%s %s\n", name, help, name, type);
}

static uint64_t value_of(const shoald_counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

/* of: "shoal_" or "process_" */
static void sample(page *p, const char *of, const char *name, const char *type, const char *help,
                   double value)
{
    print(p, "# HELP %s%s %s\n# TYPE %s%s %s\n%s%s %.15g\n", of, name, help, of, name, type, of,
          name, value);
}

static void gauge(page *p, const char *name, const char *help, double value)
{
    sample(p, "shoal_", name, "gauge", help, value);
}

static void counter(page *p, const char *name, const char *help, double value)
{
    sample(p, "shoal_", name, "counter", help, value);
}

static void add_histogram(uint64_t *counts, uint64_t *sum, const shoald_histogram *h, int buckets)
{
    for (int i = 0; i <= buckets; i++)
        counts[i] += value_of(&h->counts[i]);
    *sum += value_of(&h->sum);
}

static void histogram(page *p, const char *name, const char *help, const double *bounds,
                      int buckets, const uint64_t *counts, uint64_t sum)
{
    uint64_t total = 0;
    head(p, name, "histogram", help);
    for (int i = 0; i < buckets; i++) {
        total += counts[i];
        print(p, "shoal_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], total);
    }
    total += counts[buckets];
    print(p, "shoal_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
    print(p, "shoal_%s_sum %.6f\nshoal_%s_count %" PRIu64 "\n", name, (double)sum / 1e6, name,
          total);
}

/* ---- what is on the page ------------------------------------------------------------- */

/* Sum over workers of the counter at this offset in shoald_worker_stats. */
static uint64_t all_workers(const shoald_house *house, size_t offset)
{
    uint64_t sum = 0;
    for (int i = 0; i < house->port_count; i++)
        sum += value_of((const shoald_counter *)((const char *)&house->ports[i]->stats + offset));
    return sum;
}
#define ALL(house, field) all_workers(house, offsetof(shoald_worker_stats, field))

static void write_parking(page *p, const shoald_house *house)
{
    static const char *const results[SHOALD_RESUMES] = {
        [SHOALD_RESUME_DONE] = "resumed",
        [SHOALD_RESUME_UNKNOWN] = "unknown",
        [SHOALD_RESUME_UNCOVERED] = "uncovered",
        [SHOALD_RESUME_REFUSED] = "refused",
    };
    const shoald_loop_stats *l = &house->stats;
    gauge(p, "parked_sessions", "Sessions that wait for their clients to come back.",
          house->parked.sessions);
    gauge(p, "parked_bytes", "Memory that they hold.", (double)house->parked.bytes);
    counter(p, "parks_total", "Times that a session was parked.", (double)value_of(&l->parked));
    counter(p, "parks_lost_total", "Parked sessions that ended before their clients came back.",
            (double)value_of(&l->unparked));
    counter(p, "parks_crowded_total",
            "Of them, those given up because their address or token had its share.",
            (double)value_of(&l->unshared));
    head(p, "resumes_total", "counter", "Clients that came back to a session, by how they fared.");
    for (int i = 0; i < SHOALD_RESUMES; i++)
        print(p, "shoal_resumes_total{result=\"%s\"} %" PRIu64 "\n", results[i],
              value_of(&l->resumes[i]));
}

static void write_sessions(page *p, const shoald_house *house)
{
    const shoald_loop_stats *l = &house->stats;
    gauge(p, "sessions", "Sessions that hold a slot, those that are parked not counted.",
          house->session_count - house->parked.sessions);
    gauge(p, "sessions_limit", "Sessions allowed at once.", house->settings.max_sessions);
    head(p, "sessions_total", "counter", "Sessions that ended, by how.");
    print(p, "shoal_sessions_total{result=\"done\"} %" PRIu64 "\n", value_of(&l->sessions_done));
    print(p, "shoal_sessions_total{result=\"error\"} %" PRIu64 "\n", value_of(&l->sessions_error));
    print(p, "shoal_sessions_total{result=\"lost\"} %" PRIu64 "\n", value_of(&l->sessions_lost));
    counter(p, "sessions_refused_total", "Sessions refused to who may have one.",
            (double)value_of(&l->refused));
    write_parking(p, house);
    counter(p, "migrations_total", "Sessions moved from one worker to another.",
            (double)house->migrations);
    head(p, "protocol_errors_total", "counter", "Errors told to clients, by code.");
    for (int code = 1; code < SHOAL_CODE_COUNT; code++)
        print(p, "shoal_protocol_errors_total{code=\"%s\"} %" PRIu64 "\n",
              shoal_code_get_info((shoal_code)code)->name,
              value_of(&l->errors[code]) + ALL(house, errors[code]));
}

static void write_refusals(page *p, const shoald_house *house)
{
    static const char *const reasons[SHOALD_REFUSALS] = {
        [SHOALD_REFUSED_HOST] = "host",
        [SHOALD_REFUSED_ORIGIN] = "origin",
        [SHOALD_REFUSED_NO_TOKEN] = "no_token",
        [SHOALD_REFUSED_BAD_TOKEN] = "bad_token",
        [SHOALD_REFUSED_TOKEN_SESSIONS] = "token_sessions",
        [SHOALD_REFUSED_TOKEN_RATE] = "token_rate",
    };
    head(p, "access_refused_total", "counter",
         "Requests of who may not ask, by reason: name, page, token and what it allows.");
    for (int i = 0; i < SHOALD_REFUSALS; i++)
        print(p, "shoal_access_refused_total{reason=\"%s\"} %" PRIu64 "\n", reasons[i],
              value_of(&house->stats.access_refused[i]));
    gauge(p, "tokens", "Tokens that are accepted; 0 where none is required.", house->tokens.count);
}

static void write_work(page *p, const shoald_house *house)
{
    counter(p, "audio_seconds_total", "Audio turned into features.",
            (double)ALL(house, samples) / SHOALD_RATE);
    counter(p, "frames_total", "Feature frames computed.", (double)ALL(house, frames));
    counter(p, "chunks_total", "Chunks computed.", (double)ALL(house, chunks));
    counter(p, "phones_total", "Phones given out.", (double)ALL(house, phones));
    counter(p, "runs_total", "Engine runs, each of one or more chunks.", (double)ALL(house, runs));
    counter(p, "busy_seconds_total", "Time that workers spent in the engine.",
            (double)ALL(house, busy_ns) / 1e9);
    counter(p, "beside_seconds_total",
            "Time that workers spent beside the engine: opening, conversion, phones, encoding.",
            (double)ALL(house, beside_ns) / 1e9);
    gauge(p, "workers", "Worker threads.", house->port_count);
    gauge(p, "load_projected_ratio",
          "Share of the workers that the sessions need, by what they cost now.",
          shoald_govern_load(&house->governor));
    gauge(p, "load_least_ratio", "The same with every session as shallow as it allows.",
          shoald_govern_least_load(&house->governor));
    gauge(p, "capacity_streams", "Streams at full depth that the workers carry in real time.",
          shoald_admit_capacity(house));
    const shoald_service *first = shoald_models_default(&house->models);
    gauge(p, "depth_ceiling",
          "Depth that elastic sessions of the first model reach now; the least of the workers.",
          shoald_admit_ceiling(house, first, 0, first->info->depth));
}

static void write_histograms(page *p, const shoald_house *house)
{
    uint64_t latency[SHOALD_LATENCY_BUCKETS + 1] = { 0 }, batch[SHOALD_BATCH_BUCKETS + 1] = { 0 };
    uint64_t late[SHOALD_LATE_BUCKETS + 1] = { 0 }, lag[SHOALD_LAG_BUCKETS + 1] = { 0 };
    uint64_t depth[SHOALD_DEPTH_BUCKETS + 1] = { 0 }, sums[6] = { 0 };
    uint64_t settled[SHOALD_SETTLED_BUCKETS + 1] = { 0 };
    for (int i = 0; i < house->port_count; i++) {
        const shoald_worker_stats *w = &house->ports[i]->stats;
        add_histogram(latency, &sums[0], &w->latency, SHOALD_LATENCY_BUCKETS);
        add_histogram(batch, &sums[1], &w->batch, SHOALD_BATCH_BUCKETS);
        add_histogram(late, &sums[3], &w->late, SHOALD_LATE_BUCKETS);
        add_histogram(depth, &sums[4], &w->depth, SHOALD_DEPTH_BUCKETS);
        add_histogram(settled, &sums[5], &w->settled, SHOALD_SETTLED_BUCKETS);
    }
    add_histogram(lag, &sums[2], &house->stats.lag, SHOALD_LAG_BUCKETS);
    histogram(p, "chunk_latency_seconds",
              "Server latency: last sample of a chunk received to its result queued.",
              shoald_latency_bounds, SHOALD_LATENCY_BUCKETS, latency, sums[0]);
    histogram(p, "chunk_lateness_seconds",
              "Deadline of a chunk (one chunk after its audio was complete) to its result queued.",
              shoald_late_bounds, SHOALD_LATE_BUCKETS, late, sums[3]);
    histogram(p, "chunk_depth", "Layers that a chunk went through.", shoald_depth_bounds,
              SHOALD_DEPTH_BUCKETS, depth, sums[4]);
    histogram(p, "settled_latency_seconds",
              "Settled-phone latency: a phone's end to its message, in audio, whatever the pace.",
              shoald_settled_bounds, SHOALD_SETTLED_BUCKETS, settled, sums[5]);
    histogram(p, "batch_size", "Streams in one engine run.", shoald_batch_bounds,
              SHOALD_BATCH_BUCKETS, batch, sums[1]);
    histogram(p, "loop_lag_seconds", "How late the event loop's clock came.", shoald_lag_bounds,
              SHOALD_LAG_BUCKETS, lag, sums[2]);
}

static void write_io(page *p, const shoald_house *house)
{
    const shoald_loop_stats *l = &house->stats;
    size_t tx = 0, rx = 0;
    for (const shoald_session *s = house->sessions; s; s = s->next) {
        tx += s->port ? shoald_queue_fill(&s->lane.out) : 0;
        rx += s->port ? shoald_queue_fill(&s->lane.in) : 0;
    }
    gauge(p, "connections", "TCP connections, sessions included.", house->connection_count);
    counter(p, "connections_total", "TCP connections accepted.", (double)value_of(&l->connections));
    counter(p, "connections_evicted_total", "Connections without a request closed to make room.",
            (double)value_of(&l->evicted));
    counter(p, "http_requests_total", "Plain HTTP answers.", (double)value_of(&l->http_requests));
    counter(p, "received_bytes_total", "Payload received in sessions.",
            (double)value_of(&l->received_bytes));
    counter(p, "sent_bytes_total", "Payload sent in sessions.", (double)value_of(&l->sent_bytes));
    gauge(p, "rx_queue_bytes", "Input waiting for workers.", (double)rx);
    gauge(p, "tx_queue_bytes", "Results waiting for sockets.", (double)tx);
    counter(p, "backpressure_pauses_total", "Times that reading from a socket was stopped.",
            (double)value_of(&l->pauses));
    counter(p, "dropped_audio_seconds_total", "Audio thrown away; stays 0 by design.", 0);
}

/* The model's name comes from its file: no quote may end the label early. */
static const char *label_value(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; *from && n + 1 < size; from++)
        to[n++] = (unsigned char)*from < ' ' || *from == '"' || *from == '\\' ? '_' : *from;
    to[n] = '\0';
    return to;
}

/* Files by their names here, as build_info has the default. */
static void write_models(page *p, const shoald_house *house)
{
    const shoald_models *m = &house->models;
    head(p, "model_info", "gauge", "The models by the names that sessions pick them by.");
    for (int i = 0; i < m->count; i++)
        print(p, "shoal_model_info{model=\"%s\",model_sha256=\"%.16s\"} 1\n", m->at[i].name,
              m->at[i].service->info->sha256);
    head(p, "model_sessions", "gauge", "Sessions that have what the model of that name is now.");
    for (int i = 0; i < m->count; i++)
        print(p, "shoal_model_sessions{model=\"%s\"} %d\n", m->at[i].name,
              shoald_session_count(house, m->at[i].service));
}

/* Under the names that every exporter of Prometheus has them. */
static void write_usage(page *p, const shoald_house *house)
{
    shoald_usage u = shoald_usage_read();
    sample(p, "process_", "cpu_seconds_total", "counter", "User and system time.", u.cpu_s);
    sample(p, "process_", "start_time_seconds", "gauge", "Start, since 1970.", house->started_s);
    sample(p, "process_", "resident_memory_bytes", "gauge", "Memory in use.", (double)u.resident);
    sample(p, "process_", "virtual_memory_bytes", "gauge", "Address space.", (double)u.virtual);
    sample(p, "process_", "open_fds", "gauge", "Open descriptors.", u.descriptors);
    sample(p, "process_", "max_fds", "gauge", "Descriptors allowed.", u.max_descriptors);
    sample(p, "process_", "threads", "gauge", "Threads.", u.threads);
}

/* A log that nobody reads holds nothing up; what it loses is told here. */
static void write_process(page *p, const shoald_house *house)
{
    const shoal_model_info *m = shoald_models_default(&house->models)->info;
    char name[80], backend[80];
    counter(p, "log_lost_total", "Lines of the log that stderr did not take.",
            (double)shoald_log_lost());
    gauge(p, "draining", "1 while the server finishes its sessions to stop.", house->draining);
    head(p, "build_info", "gauge", "What is running.");
    print(p,
          "shoal_build_info{version=\"%s\",model=\"%s\",model_sha256=\"%.16s\",backend=\"%s\","
          "kernels=\"%s\"} 1\n",
          shoal_version(), label_value(name, sizeof name, m->name), m->sha256,
          label_value(backend, sizeof backend, m->backend), m->kernels);
}

int shoald_metrics_write(shoal_buf *out, const shoald_house *house)
{
    page p = { out, 0 };
    write_sessions(&p, house);
    write_refusals(&p, house);
    write_work(&p, house);
    write_histograms(&p, house);
    write_io(&p, house);
    write_process(&p, house);
    write_models(&p, house);
    write_usage(&p, house);
    return p.result;
}
