/* assets.c - see assets.h
 *
 * The assembler puts the files into .rodata as they are (SHOALD_WEB_DIR comes from the build), so
 * nothing is read from a disk while the daemon runs, and page and server are of one version.
 */
#include "net/assets.h"

#include <string.h>

#define HTML "text/html; charset=utf-8"
#define CSS  "text/css; charset=utf-8"
#define JS   "text/javascript; charset=utf-8"

/* symbol, path, file, type */
#define ASSETS(X)                                                                                  \
    X(index, "/", "index.html", HTML)                                                              \
    X(css, "/shoal.css", "shoal.css", CSS)                                                         \
    X(icon, "/icon.svg", "icon.svg", "image/svg+xml")                                              \
    X(sample, "/sample.flac", "sample.flac", "audio/flac")                                         \
    X(app, "/app.js", "app.js", JS)                                                                \
    X(capture, "/capture.js", "capture.js", JS)                                                    \
    X(hands, "/hands.js", "hands.js", JS)                                                          \
    X(link, "/link.js", "link.js", JS)                                                             \
    X(models, "/models.js", "models.js", JS)                                                       \
    X(phones, "/phones.js", "phones.js", JS)                                                       \
    X(settings, "/settings.js", "settings.js", JS)                                                 \
    X(again, "/shoal-again.js", "shoal-again.js", JS)                                              \
    X(opus, "/shoal-opus.js", "shoal-opus.js", JS)                                                 \
    X(shoal_session, "/shoal-session.js", "shoal-session.js", JS)                                  \
    X(wire, "/shoal-wire.js", "shoal-wire.js", JS)                                                 \
    X(shoal, "/shoal.js", "shoal.js", JS)                                                          \
    X(strip, "/strip.js", "strip.js", JS)                                                          \
    X(timeline, "/timeline.js", "timeline.js", JS)                                                 \
    X(token, "/token.js", "token.js", JS)                                                          \
    X(view, "/view.js", "view.js", JS)                                                             \
    X(whole, "/whole.js", "whole.js", JS)                                                          \
    X(words, "/words.js", "words.js", JS)                                                          \
    X(worklet, "/worklet.js", "worklet.js", JS)

#define INCLUDE(name, path, file, type)                                                            \
    __asm__(".section .rodata\n"                                                                   \
            ".globl shoald_asset_" #name "\n"                                                      \
            ".globl shoald_asset_" #name "_end\n"                                                  \
            ".hidden shoald_asset_" #name "\n"                                                     \
            ".hidden shoald_asset_" #name "_end\n"                                                 \
            "shoald_asset_" #name ":\n"                                                            \
            ".incbin \"" SHOALD_WEB_DIR "/" file "\"\n"                                            \
            "shoald_asset_" #name "_end:\n"                                                        \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char shoald_asset_##name[] __attribute__((visibility("hidden")));                 \
    extern const char shoald_asset_##name##_end[] __attribute__((visibility("hidden")));
ASSETS(INCLUDE)

#define ROW(name, path, file, type) { path, type, shoald_asset_##name, shoald_asset_##name##_end },
static const struct {
    const char *path, *type, *begin, *end;
} rows[] = { ASSETS(ROW) };

int shoald_asset_find(const char *path, shoald_asset *found)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(path, rows[i].path) == 0) {
            *found = (shoald_asset){ rows[i].path, rows[i].type, rows[i].begin,
                                     (size_t)(rows[i].end - rows[i].begin) };
            return 0;
        }
    return -1;
}
