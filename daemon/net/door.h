/* door.h - who comes in: connections that are no sessions yet, and their number; loop thread */
#ifndef SHOALD_DOOR_H
#define SHOALD_DOOR_H

#include "net/greet.h"

#include <sys/socket.h>

void shoald_door_init(shoald_door *door, shoald_house *house, uv_loop_t *loop);
/* One has been accepted. It is always let in; if there are too many, another has to go
 * (waiting.h). */
void shoald_door_enter(shoald_door *door, int fd, const struct sockaddr_storage *from);
/* Every tick of the clock: deadlines, and those who rest go on. */
void shoald_door_step(shoald_door *door, uint64_t now_ns);
/* All of them go. */
void shoald_door_close(shoald_door *door);

#endif
