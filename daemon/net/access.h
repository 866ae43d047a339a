/* access.h - who may ask at all: by which name, from which page, with which token
 *
 * Three questions that are put to every request but for health checks and the page's own files:
 *   by our name   Host: a page's own name may have been made to mean 127.0.0.1 (421)
 *   from our page Origin: a browser sends what any page tells it to (403)
 *   with a token  Authorization or a subprotocol, if the settings name a file of tokens (401)
 * What is refused is told before any upgrade, in JSON, and counted by its reason. Loop thread.
 */
#ifndef SHOALD_ACCESS_H
#define SHOALD_ACCESS_H

#include "base/peer.h"
#include "net/answer.h"
#include "net/head.h"
#include "session/house.h"

/* Each: 0, or the HTTP status and why in *err. */
int shoald_access_by_name(shoald_house *house, const shoald_peer *peer, const shoald_head *head,
                          shoal_error *err);
int shoald_access_from_page(shoald_house *house, const shoald_head *head, shoal_error *err);
/* bytes: those that the head was read from. *token: whose it is; NULL where none is required. View
 * into house->tokens. */
int shoald_access_with_token(shoald_house *house, const shoald_head *head, const char *bytes,
                             shoald_token **token, shoal_error *err);

/* The hash of what the head shows, false: it shows none. Any bytes will do. Pure. */
bool shoald_access_hash(uint8_t hash[SHOALD_TOKEN_HASH], const shoald_head *head,
                        const char *bytes);

/* The origin whose scripts may read the answer, "": none. View into head. */
const char *shoald_access_reader(const shoald_house *house, const shoald_head *head);
/* A header line for who lacks a token. */
void shoald_access_add_challenge(const shoald_head *head, shoald_answer *a);

#endif
