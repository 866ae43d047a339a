/* mail.c - what the workers and the sessions ask of the loop: mail, reviews; see server.h */
#include "server.h"

#include "session/session.h"

void shoald_mail_take(shoald_server *server)
{
    void *mail;
    for (int i = 0; i < server->worker_count; i++)
        while ((mail = shoald_mailbox_take(&server->workers[i].port.outbox)))
            shoald_session_on_mail(mail);
}

static void on_mail(uv_async_t *async)
{
    shoald_mail_take(async->data);
}

/* After polling, outside of lws: the one place where reading may be stopped (with TLS, doing
 * it inside RECEIVE makes lws 4.1.6 spin for ever) and where sessions are closed. */
static void on_check(uv_check_t *check)
{
    shoald_server *server = check->data;
    while (server->house.review) {
        shoald_session *s = server->house.review;
        server->house.review = s->next_review;
        s->in_review = false;
        shoald_session_review(s);
    }
}

int shoald_mail_start(shoald_server *server)
{
    if (uv_async_init(&server->loop, &server->mail, on_mail) < 0)
        return -1;
    uv_check_init(&server->loop, &server->check);
    server->mail.data = server->check.data = server;
    uv_check_start(&server->check, on_check);
    return 0;
}
