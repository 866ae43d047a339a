/* check_file_audio.c - audio files that are not what they say: cut off, foreign, cancelling
 *
 * Files are made with libsndfile here, whole and with their last 40 % gone.
 */
#include <check.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/file_audio.h"
#include "file/file_check.h"
#include "file/file_source.h"
#include "shoal-wire.h"
#include "suite.h"

enum { RATE = 16000, SECONDS = 10 };

static char dir[64], path[128];
static char why[512];
static file_audio_limits limits = { 8000, 48000, 8, 16000 };

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/shoal-test.XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/audio", dir);
}

static void remove_dir(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* Noise; with two channels the right one is the left times `right`. 0: libsndfile cannot write it.
 */
static int write_audio(int format, int channels, float right)
{
    SF_INFO info = { .samplerate = RATE, .channels = channels, .format = format };
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    float frame[2];
    unsigned seed = 1;

    if (!f)
        return 0;
    for (int i = 0; i < RATE * SECONDS; i++) {
        seed = seed * 1103515245 + 12345;
        frame[0] = (float)(seed >> 16 & 0x7fff) / 65536 - 0.25f;
        frame[1] = frame[0] * right;
        sf_writef_float(f, frame, 1);
    }
    sf_close(f);
    return 1;
}

static void cut_file(void)
{
    struct stat s;

    ck_assert_int_eq(stat(path, &s), 0);
    ck_assert_int_eq(truncate(path, s.st_size * 6 / 10), 0);
}

/* Read all of it; seconds of it that came. */
static file_audio_state read_all(void)
{
    file_audio *a;
    file_audio_state state;
    static uint8_t bytes[1 << 16];
    ptrdiff_t n;

    ck_assert_msg(file_audio_open(&a, path, &limits, why, sizeof why) == 0, "%s", why);
    while ((n = file_audio_read(a, bytes, 1000, why, sizeof why)) > 0)
        ;
    ck_assert_msg(n == 0, "%s", why);
    state = file_audio_get_state(a);
    file_audio_close(a);
    return state;
}

/* Four bytes at a place, little-endian. */
static void write_number(long at, uint32_t x)
{
    const uint8_t bytes[] = { (uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16),
                              (uint8_t)(x >> 24) };
    FILE *f = fopen(path, "r+b");

    ck_assert(f && fseek(f, at, SEEK_SET) == 0 && fwrite(bytes, 4, 1, f) == 1 && !fclose(f));
}

enum { SIZE_OF_DATA = 40 }; /* where it stands in a WAV file of 16 bits */

/* ---- cut off ---- */

static const struct {
    const char *name;
    int format, says_length;
} formats[] = {
    { "wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1 },
    { "flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1 },
    { "mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1 },
    { "ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0 },
    { "opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 0 },
    { "aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 0 },
    { "adpcm", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 1 },
    { "gsm", SF_FORMAT_WAV | SF_FORMAT_GSM610, 1 },
    { "mu-law", SF_FORMAT_WAV | SF_FORMAT_ULAW, 1 },
    { "au", SF_FORMAT_AU | SF_FORMAT_PCM_16, 1 },
    { "au, little-endian", SF_FORMAT_AU | SF_FORMAT_FLOAT | SF_ENDIAN_LITTLE, 1 },
    { "rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_24, 1 },
    { "w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16, 1 },
    { "caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, 1 },
    { "caf, a-law", SF_FORMAT_CAF | SF_FORMAT_ALAW, 1 },
    { "sphere", SF_FORMAT_NIST | SF_FORMAT_PCM_16, 1 },
};

START_TEST(a_whole_file_is_whole)
{
    if (!write_audio(formats[_i].format, 1, 0))
        return;
    file_audio_state s = read_all();
    ck_assert_msg(!s.cut, "%s: cut, promised %g", formats[_i].name, s.promised);
    ck_assert_int_ge(s.frames_read, RATE * SECONDS);
}
END_TEST

START_TEST(a_file_that_was_cut_off_is_told_from_it)
{
    if (!write_audio(formats[_i].format, 1, 0))
        return;
    cut_file();
    file_audio_state s = read_all();
    ck_assert_msg(s.cut, "%s: not cut", formats[_i].name);
    ck_assert_int_gt(s.frames_read, RATE * SECONDS / 2 - RATE);
    ck_assert_int_lt(s.frames_read, RATE * SECONDS * 7 / 10);
    ck_assert_double_eq_tol(s.promised, formats[_i].says_length ? SECONDS : 0, 0.1);
}
END_TEST

/* What is damaged in the middle of FLAC is left out by libsndfile, without a word. */
START_TEST(damage_in_the_middle_is_told)
{
    static const uint8_t zeros[1500];
    struct stat st;

    if (!write_audio(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1, 0))
        return;
    ck_assert_int_eq(stat(path, &st), 0);
    FILE *f = fopen(path, "r+b");
    ck_assert(f && fseek(f, st.st_size / 2, SEEK_SET) == 0);
    ck_assert(fwrite(zeros, sizeof zeros, 1, f) == 1 && !fclose(f));
    file_audio_state s = read_all();
    ck_assert_int_lt(s.frames_read, RATE * SECONDS);
    ck_assert_int_eq(s.cut, 1);
    ck_assert_double_eq_tol(s.promised, SECONDS, 1e-6);
}
END_TEST

/* The same of Ogg: times behind it are wrong. */
START_TEST(a_damaged_page_of_ogg_is_told)
{
    struct stat st;

    if (!write_audio(SF_FORMAT_OGG | SF_FORMAT_VORBIS, 1, 0))
        return;
    ck_assert_int_eq(stat(path, &st), 0);
    FILE *f = fopen(path, "r+b");
    ck_assert(f && fseek(f, st.st_size / 2, SEEK_SET) == 0 && fwrite("damage", 6, 1, f) == 1);
    ck_assert_int_eq(fclose(f), 0);
    file_audio_state s = read_all();
    ck_assert(s.cut && s.damaged && !s.more);
}
END_TEST

/* ---- more than its header knows of ---- */

static void append(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "ab");

    ck_assert(f && fwrite(bytes, n, 1, f) == 1 && !fclose(f));
}

static const int chained[] = { SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                               SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
                               SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_OGG | SF_FORMAT_OPUS };

/* As cat makes it, and stations that begin a new stream with every piece. */
START_TEST(another_recording_behind_the_first_is_told)
{
    static uint8_t bytes[1 << 20];

    if (!write_audio(chained[_i], 1, 0))
        return;
    FILE *f = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    ck_assert_int_eq(fclose(f), 0);
    append(bytes, n);
    file_audio_state s = read_all();
    ck_assert(s.cut && s.more);
    ck_assert_int_lt(s.frames_read, RATE * SECONDS * 3 / 2);
}
END_TEST

START_TEST(tags_behind_the_sound_are_no_recording)
{
    static const char tag[128] = "TAGnobody";

    if (!write_audio(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1, 0))
        return;
    append(tag, sizeof tag);
    ck_assert(!read_all().cut);
}
END_TEST

/* Whoever writes the size now and then, and is killed; it may be in a pause. */
START_TEST(sound_behind_the_size_of_a_wav_is_told)
{
    static const uint8_t zeros[40000];

    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0));
    append(zeros, sizeof zeros);
    ck_assert_int_eq(read_all().cut, 0);
    ck_assert_int_eq(truncate(path, 44 + 2 * RATE * SECONDS), 0);
    append("LIST\x1e\x40\0\0INFO", 12);
    append(zeros, 0x401a);
    ck_assert_int_eq(read_all().cut, 0);
    write_number(SIZE_OF_DATA, RATE);
    file_audio_state s = read_all();
    ck_assert(s.cut && s.more && s.frames_read == RATE / 2);
}
END_TEST

START_TEST(one_missing_sample_is_told)
{
    struct stat st;

    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size - 2), 0);
    ck_assert_int_eq(read_all().cut, 1);
}
END_TEST

/* A byte rate that only says about how many (ffmpeg writes it so) does not make a file short. */
START_TEST(what_packed_sound_says_of_its_bytes_is_no_promise)
{
    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 1, 0));
    write_number(28, RATE / 3);
    ck_assert_int_eq(read_all().cut, 0);
}
END_TEST

/* A recorder that was killed leaves 0 bytes of sound in the header; a file without sound has that
 * too. */
START_TEST(a_header_that_was_never_completed_is_told)
{
    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0));
    write_number(SIZE_OF_DATA, 0);
    file_audio_state s = read_all();
    ck_assert(s.cut && s.unended && s.frames_read == 0);
    ck_assert_double_eq_tol(s.promised, SECONDS, 0.1);
    ck_assert_int_eq(truncate(path, SIZE_OF_DATA + 4), 0);
    ck_assert_int_eq(read_all().cut, 0);
    FILE *f = fopen(path, "ab");
    ck_assert(f && fwrite("LIST\x20\x40\0\0", 8, 1, f) == 1);
    for (int i = 0; i < 0x4020; i++)
        fputc(i, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(read_all().cut, 0);
}
END_TEST

START_TEST(what_is_no_file_of_sound_is_called_by_its_name)
{
    file_audio *a;

    ck_assert_int_eq(file_audio_open(&a, dir, &limits, why, sizeof why), -1);
    ck_assert_ptr_nonnull(strstr(why, "it is a folder"));
    ck_assert_int_eq(fclose(fopen(path, "wb")), 0);
    ck_assert_int_eq(file_audio_open(&a, path, &limits, why, sizeof why), -1);
    ck_assert_str_eq(why, "the file is empty");
}
END_TEST

/* ---- channels ---- */

static const struct {
    int format;
    float right;
    int cancels;
} pairs[] = {
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, -1, 1 },    { SF_FORMAT_WAV | SF_FORMAT_FLOAT, -1, 1 },
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0 },     { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_FLOAT, -0.99f, 1 }, { SF_FORMAT_WAV | SF_FORMAT_FLOAT, -0.5f, 0 },
};

START_TEST(channels_that_cancel_are_noticed)
{
    ck_assert(write_audio(pairs[_i].format, 2, pairs[_i].right));
    ck_assert_int_eq(read_all().cancels, pairs[_i].cancels);
}
END_TEST

static const struct {
    int format, channels;
    float right, peak;
    int channel, convert; /* the one that is heard, 0: all; at another rate */
} levels[] = {
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0, 0.25f, 0, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2, -3, 0.75f, 0, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_FLOAT, 2, 2, 0.5f, 0, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2, -3, 0.25f, 1, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_FLOAT, 2, 0, 0, 2, 0 },
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2, -3, 0.75f, 2, 1 },
    { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2, -3, 0.75f, 0, 1 },
};

START_TEST(the_largest_sample_is_known)
{
    limits.channel = levels[_i].channel;
    limits.max_rate = levels[_i].convert ? RATE - 1 : limits.max_rate;
    limits.convert_rate = levels[_i].convert ? RATE / 2 : limits.convert_rate;
    ck_assert(write_audio(levels[_i].format, levels[_i].channels, levels[_i].right));
    ck_assert_double_eq_tol(read_all().peak, levels[_i].peak, 1e-3);
}
END_TEST

/* ---- kinds ---- */

static const struct {
    const char *bytes, *name;
    size_t n;
} kinds[] = {
    { "\0\0\0\x20"
      "ftypM4A ",
      "MP4", 12 },
    { "\xff\xf1\x50\x80", "ADTS", 4 },
    { "\xff\xf9\x50\x80", "ADTS", 4 },
    { "caff\0\1", "CAF", 6 },
    { "\x30\x26\xb2\x75", "WMA", 4 },
    { "#!AMR\n", "AMR", 6 },
    { "\x1a\x45\xdf\xa3", "WebM", 4 },
};

START_TEST(foreign_kinds_are_named_with_their_remedy)
{
    FILE *f = fopen(path, "wb");
    file_audio *a;

    ck_assert(f && fwrite(kinds[_i].bytes, kinds[_i].n, 1, f) == 1 && !fclose(f));
    ck_assert_int_eq(file_audio_open(&a, path, &limits, why, sizeof why), -1);
    ck_assert_msg(strstr(why, kinds[_i].name) && strstr(why, "ffmpeg -i '"), "%s", why);
}
END_TEST

START_TEST(mp3_and_rubbish_are_no_foreign_kind)
{
    ck_assert_ptr_null(shoal_file_kind("\xff\xfb\x90\x64", 4));
    ck_assert_ptr_null(shoal_file_kind("", 0));
    ck_assert_ptr_null(shoal_file_kind("ftyp", 4));
    ck_assert_ptr_null(shoal_file_kind("caff\0\1\0\0desc\0\0\0\0\0\0\0\x20rate0000lpcm", 32));
    ck_assert_ptr_nonnull(shoal_file_kind("caff\0\1\0\0desc\0\0\0\0\0\0\0\x20rate0000alac", 32));
}
END_TEST

/* ---- read by a thread ---- */

static int news;

static void count_news(void *user)
{
    (void)user;
    __atomic_add_fetch(&news, 1, __ATOMIC_SEQ_CST);
}

/* A source gives what file_audio does, sample by sample, however it is asked for. */
START_TEST(a_source_gives_every_sample_once)
{
    static int16_t whole[RATE * SECONDS], pieces[RATE * SECONDS];
    size_t have = 0;
    ptrdiff_t n = 1;
    file_audio *a;

    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 0));
    ck_assert_int_eq(file_audio_open(&a, path, &limits, why, sizeof why), 0);
    ck_assert_int_eq(file_audio_read(a, whole, RATE * SECONDS, why, sizeof why), RATE * SECONDS);
    file_audio_close(a);
    file_source *s = file_source_open(path, &limits);
    while (!(n = file_source_wait(s, 100, why, sizeof why)))
        ;
    ck_assert_int_eq(n, 1);
    file_source_on_news(s, count_news, NULL);
    for (size_t ask = 1; n != 0; ask = ask % 1000 + 77) {
        n = file_source_read(s, pieces + have, ask, why, sizeof why);
        ck_assert_int_ne(n, FILE_SOURCE_FAILED);
        have += n > 0 ? (size_t)n : 0;
    }
    ck_assert_uint_eq(have, RATE * SECONDS);
    ck_assert(!memcmp(whole, pieces, sizeof whole));
    ck_assert_int_eq(file_source_get_state(s).frames_read, RATE * SECONDS);
    file_source_close(s);
}
END_TEST

START_TEST(a_source_without_header_is_left_behind)
{
    file_source *s;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    s = file_source_open(path, &limits);
    ck_assert_int_eq(file_source_wait(s, 50, why, sizeof why), 0);
    file_source_close(s);
}
END_TEST

START_TEST(a_source_that_is_not_there_says_so)
{
    file_source *s = file_source_open("/nonexistent/a.wav", &limits);
    int r;

    while (!(r = file_source_wait(s, 100, why, sizeof why)))
        ;
    ck_assert_int_eq(r, FILE_SOURCE_FAILED);
    ck_assert_msg(strstr(why, "No such file") != NULL, "%s", why);
    file_source_close(s);
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

static Suite *file_suite(void)
{
    Suite *s = suite_create("file audio");
    TCase *t = tcase_create("file audio");

    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_add_loop_test(t, a_whole_file_is_whole, 0, COUNT(formats));
    tcase_add_loop_test(t, a_file_that_was_cut_off_is_told_from_it, 0, COUNT(formats));
    tcase_add_test(t, damage_in_the_middle_is_told);
    tcase_add_test(t, a_damaged_page_of_ogg_is_told);
    tcase_add_loop_test(t, another_recording_behind_the_first_is_told, 0, COUNT(chained));
    tcase_add_test(t, tags_behind_the_sound_are_no_recording);
    tcase_add_test(t, sound_behind_the_size_of_a_wav_is_told);
    tcase_add_test(t, one_missing_sample_is_told);
    tcase_add_test(t, what_packed_sound_says_of_its_bytes_is_no_promise);
    tcase_add_test(t, a_header_that_was_never_completed_is_told);
    tcase_add_test(t, what_is_no_file_of_sound_is_called_by_its_name);
    tcase_add_loop_test(t, channels_that_cancel_are_noticed, 0, COUNT(pairs));
    tcase_add_loop_test(t, the_largest_sample_is_known, 0, COUNT(levels));
    tcase_add_loop_test(t, foreign_kinds_are_named_with_their_remedy, 0, COUNT(kinds));
    tcase_add_test(t, mp3_and_rubbish_are_no_foreign_kind);
    tcase_add_test(t, a_source_gives_every_sample_once);
    tcase_add_test(t, a_source_without_header_is_left_behind);
    tcase_add_test(t, a_source_that_is_not_there_says_so);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(file_suite());
}
