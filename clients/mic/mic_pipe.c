/* mic_pipe.c - see mic_pipe.h; everything is the loop's thread's
 *
 * The ring has one reader and one writer here too, though both are the loop. While it has no room
 * the pipe is not read, so a command that is faster than speech (sox, ffmpeg) waits. The command
 * gets a process group of its own: Ctrl-C is ours, and all that it started ends with it.
 */
#include "mic/mic_pipe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 15 };

struct mic_pipe {
    mic_ring *ring;
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t again; /* the pipe is read when the ring has room */
    int open;         /* handles */
    mic_news news;
    int at_end, exited; /* it has ended when both are so: only then is it known how */
    int odd;            /* the first byte of a sample that was cut */
    uint8_t odd_byte;
    union {
        int16_t samples[READ_BYTES / 2 + 1];
        char bytes[READ_BYTES + 2];
    } room;
};

static void on_closed(uv_handle_t *h)
{
    mic_pipe *p = h->data;

    if (--p->open == 0)
        free(p);
}

static void on_exit_code(uv_process_t *process, int64_t code, int signal)
{
    mic_pipe *p = process->data;

    if (code || signal)
        snprintf(p->news.why, sizeof p->news.why, "the command ended with %s %d",
                 signal ? "signal" : "exit code", signal ? signal : (int)code);
    p->exited = 1;
    p->news.state = p->at_end ? MIC_ENDED : p->news.state;
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    mic_pipe *p = h->data;

    (void)suggested;
    p->room.bytes[0] = (char)p->odd_byte;
    *buf = uv_buf_init(p->room.bytes + p->odd, READ_BYTES);
}

static size_t room_left(const mic_ring *r)
{
    return r->cap - (atomic_load(&r->written) - atomic_load(&r->read));
}

static void read_on(mic_pipe *p);

static void on_again(uv_timer_t *t)
{
    mic_pipe *p = t->data;

    if (room_left(p->ring) < READ_BYTES / 2 + 1)
        return;
    uv_timer_stop(t);
    read_on(p);
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    mic_pipe *p = s->data;
    size_t bytes;

    (void)buf;
    if (n < 0) {
        uv_read_stop(s);
        p->at_end = 1;
        p->news.state = p->exited ? MIC_ENDED : p->news.state;
        return;
    }
    if (n > 0 && p->news.state == MIC_OPENING) {
        p->news.state = MIC_RUNNING;
        p->news.opened = 1;
    }
    bytes = (size_t)n + (size_t)p->odd;
    mic_ring_write(p->ring, p->room.samples, bytes / 2, 1);
    p->odd = bytes % 2;
    p->odd_byte = (uint8_t)p->room.bytes[bytes - (bytes > 0)];
    if (room_left(p->ring) < READ_BYTES / 2 + 1) {
        uv_read_stop(s);
        uv_timer_start(&p->again, on_again, 10, 10);
    }
}

static void read_on(mic_pipe *p)
{
    uv_read_start((uv_stream_t *)&p->out, on_room, on_bytes);
}

static int spawn(mic_pipe *p, const char *command)
{
    char shell[] = "/bin/sh", take[] = "-c", *argv[] = { shell, take, (char *)command, NULL };
    uv_stdio_container_t stdio[] = {
        { .flags = UV_IGNORE },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out },
        { .flags = UV_INHERIT_FD, .data.fd = 2 },
    };
    uv_process_options_t options = { .file = shell,
                                     .args = argv,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio = stdio,
                                     .stdio_count = 3,
                                     .exit_cb = on_exit_code };

    return uv_spawn(p->out.loop, &p->process, &options);
}

mic_pipe *mic_pipe_start(const mic_source_params *params, mic_ring *ring, uv_loop_t *loop)
{
    mic_pipe *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return NULL;
    p->ring = ring;
    p->news.rate = params->rate;
    snprintf(p->news.name, sizeof p->news.name, "%.100s", params->command);
    uv_pipe_init(loop, &p->out, 0);
    uv_timer_init(loop, &p->again);
    p->out.data = p->again.data = p->process.data = p;
    p->open = 3;
    r = spawn(p, params->command);
    if (r < 0) {
        p->news.state = MIC_FAILED;
        snprintf(p->news.why, sizeof p->news.why, "%s: %s", params->command, uv_strerror(r));
    } else {
        read_on(p);
    }
    return p;
}

mic_news mic_pipe_look(const mic_pipe *p)
{
    return p->news;
}

void mic_pipe_stop(mic_pipe *p)
{
    if (!p)
        return;
    if (p->process.pid > 0 && uv_is_active((uv_handle_t *)&p->process))
        uv_kill(-p->process.pid, SIGTERM);
    uv_close((uv_handle_t *)&p->out, on_closed);
    uv_close((uv_handle_t *)&p->again, on_closed);
    uv_close((uv_handle_t *)&p->process, on_closed);
}
