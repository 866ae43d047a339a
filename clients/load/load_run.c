/* load_run.c - the loop: epoll and a timer drive all sessions, one thread
 *
 *     until all sessions are closed:
 *         sessions whose time has come act          (calendar, due times fixed in advance)
 *         sockets that have news are handled        (epoll)
 *         once a second: row, timeouts, progress
 *
 * The timer (timerfd, microseconds) is armed for the earliest of the next packet and the next
 * second; epoll's own timeout counts whole milliseconds, which would make every packet late.
 * It sleeps for at least 0.1 ms, so that thousands of sessions cost no timer call a packet: that
 * lateness is counted like any other.
 */
#include "load/load_link.h"
#include "out/out_screen.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, SPARE_FDS = 32, LEAST_SLEEP_NS = 100000 };

/* ---- setting up ---- */

static int resolve(load_run *run, char *why, size_t why_size)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    char port[8];
    int r;

    snprintf(port, sizeof port, "%d", run->o->port);
    r = getaddrinfo(run->o->host, port, &hints, &list);
    if (r) {
        snprintf(why, why_size, "nobody knows the host %s (%s): check --url", run->o->host,
                 gai_strerror(r));
        return -1;
    }
    run->addresses = list;
    run->address = list;
    return 0;
}

static int raise_file_limit(int sessions, char *why, size_t why_size)
{
    rlim_t need = (rlim_t)sessions + SPARE_FDS;
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= need)
        return 0;
    r.rlim_cur = r.rlim_max < need ? r.rlim_max : need;
    if (r.rlim_cur >= need && setrlimit(RLIMIT_NOFILE, &r) == 0)
        return 0;
    snprintf(why, why_size,
             "%d sessions need %lu open files, the limit is %lu: raise it with "
             "ulimit -n, or use fewer --sessions",
             sessions, (unsigned long)need, (unsigned long)r.rlim_max);
    return -1;
}

static int allocate(load_run *run, char *why, size_t why_size)
{
    size_t n = (size_t)load_total(run->o);

    run->total = (int)n;
    run->plans = calloc(n, sizeof *run->plans);
    run->sessions = calloc(n, sizeof *run->sessions);
    run->scratch.no_rows = 1;
    if (run->plans && run->sessions && load_calendar_init(&run->calendar, (int)n) == 0) {
        run->window = load_schedule_make(run->o, run->plans);
        if (run->window.to)
            return 0;
    }
    snprintf(why, why_size, "out of memory: use fewer --sessions");
    return -1;
}

static int open_loop(load_run *run, char *why, size_t why_size)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };

    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (run->epoll_fd >= 0 && run->timer_fd >= 0 &&
        epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, run->timer_fd, &e) == 0)
        return 0;
    snprintf(why, why_size, "cannot set up epoll and a timer: %s; raise ulimit -n",
             strerror(errno));
    return -1;
}

static void enlist(load_run *run)
{
    run->open = run->total;
    for (int i = 0; i < run->total; i++) {
        run->sessions[i] = (load_session){ .run = run, .plan = &run->plans[i], .fd = -1 };
        load_calendar_put(&run->calendar, run->plans[i].connect_ns, i);
    }
}

static void free_run(load_run *run)
{
    for (int i = 0; run->sessions && i < run->total; i++)
        if (run->sessions[i].run)
            load_session_close(&run->sessions[i], LOAD_CANCELLED, NULL);
    load_calendar_free(&run->calendar);
    free(run->plans);
    free(run->sessions);
    shoal__scratch_free(&run->scratch);
    if (run->addresses)
        freeaddrinfo(run->addresses);
    load_link_forget(run);
    if (run->epoll_fd >= 0)
        close(run->epoll_fd);
    if (run->timer_fd >= 0)
        close(run->timer_fd);
}

/* ---- once a second ---- */

static void show_progress(const load_options *o, const load_row *r)
{
    char text[200], *end = text + sizeof text, *p = text;

    if (o->quiet || !out_screen_is_live(STDERR_FILENO))
        return;
    p += snprintf(p, (size_t)(end - p), "%4d s  %d of %d sessions", r->t_s + 1, r->active,
                  r->offered);
    if (r->failed)
        p += snprintf(p, (size_t)(end - p), "  %d failed", r->failed);
    if (r->refused)
        p += snprintf(p, (size_t)(end - p), "  %d refused", r->refused);
    snprintf(p, (size_t)(end - p), "  p99 %.1f ms  depth %.1f  late %.1f ms", r->latency[2],
             r->depth, r->late_p99);
    out_screen_progress(text);
}

/* The server owes an answer to the upgrade, and a result for each chunk. */
static void check_silence(load_session *s, int64_t now)
{
    int64_t since = s->heard_ns > s->plan->start_ns ? s->heard_ns : s->plan->start_ns;

    if (s->state == LOAD_WAITING || s->state == LOAD_CLOSED || now - since < LOAD_ANSWER_S * LOAD_S)
        return;
    load_session_close(s, s->progress.done ? LOAD_FINISHED : LOAD_FAILED,
                       s->ready ? "no result for %d s although audio was sent: the server is stuck "
                                  "or far too slow"
                                : "no answer to the connection for %d s: is it a shoal server, and "
                                  "not overrun?",
                       LOAD_ANSWER_S);
}

/* A search need not wait for what comes too late anyway. */
static void check_grace(load_session *s, int64_t now)
{
    if (now > s->run->window.to + LOAD_GRACE_S * LOAD_S)
        load_session_close(s, LOAD_FAILED,
                           "results were %d s late: the search does not wait for them",
                           LOAD_GRACE_S);
}

static int tick(load_run *run, int t_s)
{
    int64_t now = load_now(run), begin = t_s * LOAD_S;
    int steady = run->o->fast || (begin >= run->window.from && begin + LOAD_S <= run->window.to);
    const load_row *r;

    for (int i = 0; i < run->total && !run->o->fast; i++) {
        double lag = load_session_lag(&run->sessions[i]);

        run->st->second.lag = lag > run->st->second.lag ? lag : run->st->second.lag;
    }
    r = load_stats_tick(run->st, run->o, t_s, steady);
    if (!r)
        return -1;
    if (run->csv)
        load_csv_row(run->csv, r);
    show_progress(run->o, r);
    for (int i = 0; i < run->total; i++) {
        check_silence(&run->sessions[i], now);
        if (run->o->find_knee)
            check_grace(&run->sessions[i], now);
    }
    return 0;
}

/* ---- Ctrl-C ---- */

/* First: no more audio, but wait for what is owed. Second: give up. */
static void obey(load_run *run, int *seen)
{
    int interrupts = *run->interrupts;

    if (interrupts == *seen)
        return;
    *seen = interrupts;
    for (int i = 0; i < run->total; i++) {
        load_session *s = &run->sessions[i];

        if (s->plan->packets > s->due)
            s->plan->packets = s->due;
        s->plan->stay_ns = 0;
        if (interrupts > 1 || s->state == LOAD_WAITING)
            load_session_close(s, LOAD_CANCELLED, NULL);
        else
            load_session_pump(s);
    }
    if (run->window.to > load_now(run))
        run->window.to = load_now(run);
}

/* ---- the loop ---- */

static void act_due(load_run *run)
{
    int64_t now = load_now(run);

    while (load_calendar_next(&run->calendar) <= now) {
        int i = load_calendar_take(&run->calendar);

        load_session_act(&run->sessions[i]);
        load_calendar_put(&run->calendar, load_session_next(&run->sessions[i]), i);
    }
}

static void arm(load_run *run, int64_t at)
{
    int64_t soonest = load_now(run) + LEAST_SLEEP_NS;
    int64_t ns = run->origin_ns + (at > soonest ? at : soonest);
    struct itimerspec t = { .it_value = { ns / LOAD_S, ns % LOAD_S } };

    timerfd_settime(run->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void wait_for_news(load_run *run, int64_t next_tick)
{
    struct epoll_event events[EVENTS];
    int64_t next = load_calendar_next(&run->calendar);
    uint64_t expirations;
    int n;

    arm(run, next < next_tick ? next : next_tick);
    n = epoll_wait(run->epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr)
            load_session_event(events[i].data.ptr, events[i].events);
        else if (read(run->timer_fd, &expirations, sizeof expirations) < 0)
            continue; /* armed anew in between: nothing is lost */
    }
}

static int loop(load_run *run)
{
    int seen = *run->interrupts;
    int t_s = 0, r = 0;

    while (run->open > 0 && r == 0) {
        act_due(run);
        obey(run, &seen);
        wait_for_news(run, (t_s + 1) * LOAD_S);
        if (load_now(run) >= (t_s + 1) * LOAD_S)
            r = tick(run, t_s++);
    }
    return r < 0 || tick(run, t_s) < 0 ? -1 : 0;
}

int load_run_all(const load_options *o, const load_audio *audio, load_stats *st, FILE *csv,
                 const volatile sig_atomic_t *interrupts, char *why, size_t why_size)
{
    load_run run = { .o = o,
                     .audio = audio,
                     .st = st,
                     .epoll_fd = -1,
                     .timer_fd = -1,
                     .csv = csv,
                     .interrupts = interrupts,
                     .kind = o->session.outputs & SHOAL_OUTPUT_POSTERIORS ? SHOAL_KIND_POSTERIORS
                                                                          : SHOAL_KIND_EMBEDDING };
    int r = -1;

    if (resolve(&run, why, why_size) == 0 && raise_file_limit(load_total(o), why, why_size) == 0 &&
        load_link_prepare(&run, why, why_size) == 0 && allocate(&run, why, why_size) == 0 &&
        open_loop(&run, why, why_size) == 0) {
        run.origin_ns = load_clock_ns();
        enlist(&run);
        r = loop(&run);
        if (r < 0)
            snprintf(why, why_size, "out of memory: use a shorter --duration");
        if (!o->quiet && out_screen_is_live(STDERR_FILENO))
            out_screen_progress(NULL);
    }
    free_run(&run);
    return r;
}
