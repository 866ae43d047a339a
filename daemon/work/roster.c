/* roster.c - see roster.h */
#include "work/roster.h"

#include "work/track.h"

#include <stdlib.h>

/* ---- the lists ----------------------------------------------------------------------- */

void shoald_roster_leave(shoald_roster *r, int i)
{
    r->active[i]->track->active = false;
    r->active[i] = r->active[--r->active_count];
}

void shoald_roster_pace(shoald_roster *r, shoald_lane *l)
{
    if (l->track->paced)
        return;
    l->track->paced = true;
    r->paced[r->paced_count++] = l;
}

void shoald_roster_unpace(shoald_roster *r, int i)
{
    r->paced[i]->track->paced = false;
    r->paced[i] = r->paced[--r->paced_count];
}

/* ---- who comes and goes -------------------------------------------------------------- */

/* A lane works on the bench of its model, from its first look till the last. false: there was no
 * memory for one, and its client has been told. */
static bool sit_down(shoald_roster *r, shoald_lane *l)
{
    shoald_track *t = l->track;
    if (t->bench)
        return true;
    if (t->phase == SHOALD_TRACK_OVER)
        return false;
    int result = shoald_bench_find(&r->benches, l->service, r->port, r->max_lanes, r->batch_frames,
                                   &t->bench);
    if (result < 0)
        shoald_track_fail_engine(l, &r->spare, result);
    else
        t->bench->lanes++;
    return result == 0;
}

static void stand_up(shoald_lane *l)
{
    if (!l->track || !l->track->bench)
        return;
    l->track->bench->lanes--;
    l->track->bench = NULL;
}

/* mail: l, marked; the last touch of this worker */
static void release(shoald_roster *r, shoald_lane *l, void *mail)
{
    for (int i = 0; l->track && l->track->active; i++)
        if (r->active[i] == l)
            shoald_roster_leave(r, i);
    for (int i = 0; l->track && l->track->paced; i++)
        if (r->paced[i] == l)
            shoald_roster_unpace(r, i);
    stand_up(l);
    if (SHOALD_MARKED(mail))
        shoald_track_close(l);
    shoald_lane_give_back(mail, r->port);
}

static void enter(shoald_roster *r, shoald_lane *l)
{
    atomic_store(&l->in_inbox, false);
    if ((!l->track && shoald_track_make(l, &r->spare) < 0) || l->track->active || !sit_down(r, l))
        return;
    l->track->active = true;
    r->active[r->active_count++] = l;
}

/* ---- mail and chores ----------------------------------------------------------------- */

/* What takes memory from the system, or gives it back: the first of a lane, and the last. */
static bool is_chore(void *mail)
{
    shoald_lane *l = SHOALD_UNMARK(mail);
    return mail != l || !l->track;
}

void shoald_roster_take_mail(shoald_roster *r)
{
    void *mail;
    while ((mail = shoald_mailbox_take(&r->port->inbox)))
        if (is_chore(mail))
            r->chores[(r->chore_first + r->chore_count++) % (2 * r->max_lanes)] = mail;
        else
            enter(r, mail);
}

static void do_chores(shoald_roster *r, int most)
{
    for (; most > 0 && r->chore_count > 0; most--) {
        void *mail = r->chores[r->chore_first];
        shoald_lane *l = SHOALD_UNMARK(mail);
        r->chore_first = (r->chore_first + 1) % (2 * r->max_lanes);
        r->chore_count--;
        if (mail != l)
            release(r, l, mail);
        else
            enter(r, l);
    }
}

void shoald_roster_do_chores(shoald_roster *r)
{
    do_chores(r, 4 + r->chore_count / 8);
}

void shoald_roster_end(shoald_roster *r)
{
    shoald_roster_take_mail(r);
    do_chores(r, r->chore_count);
}

/* ---- memory -------------------------------------------------------------------------- */

int shoald_roster_init(shoald_roster *r, shoald_port *port, shoald_service *service, int max_lanes,
                       int batch_frames)
{
    shoald_bench *first;
    size_t n = (size_t)max_lanes;
    *r = (shoald_roster){ .port = port, .max_lanes = max_lanes, .batch_frames = batch_frames };
    r->spare = (shoald_bench){ .port = port,
                               .scratch = r->spare_text,
                               .scratch_size = sizeof r->spare_text };
    r->active = calloc(n, sizeof *r->active);
    r->paced = calloc(n, sizeof *r->paced);
    r->chores = calloc(2 * n, sizeof *r->chores);
    if (!r->active || !r->paced || !r->chores)
        return SHOAL_ENOMEM;
    return shoald_bench_find(&r->benches, service, port, max_lanes, batch_frames, &first);
}

void shoald_roster_free(shoald_roster *r)
{
    shoald_bench_free_list(&r->benches);
    free(r->active);
    free(r->paced);
    free(r->chores);
}
