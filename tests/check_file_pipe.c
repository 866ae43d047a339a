/* check_file_pipe.c - audio through a pipe: every container, every length that a WAV header may
 * have there, and what is no audio
 *
 * A child writes a file to standard input or to a FIFO; what comes out is compared with what the
 * same file gives from the disk.
 */
#include <check.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file/file_audio.h"
#include "suite.h"

enum { RATE = 16000, FRAMES = 3 * RATE, ROOM = 4 * (FRAMES + 4 * RATE) };

static char dir[64], path[128], fifo[128];
static char why[512];
static const file_audio_limits limits = { 8000, 48000, 8, 16000 };
static pid_t feeder;

typedef struct result {
    file_audio_info info;
    file_audio_state state;
    size_t size;
    uint8_t bytes[ROOM];
} result;

static result on_disk, piped;

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/shoal-test.XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/audio", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
}

static void remove_dir(void)
{
    unlink(path);
    unlink(fifo);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int write_audio(int format)
{
    SF_INFO info = { .samplerate = RATE, .channels = 1, .format = format };
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    unsigned seed = 1;

    for (int i = 0; i < FRAMES && f; i++) {
        seed = seed * 1103515245 + 12345;
        float x = (float)(seed >> 16 & 0x7fff) / 65536 - 0.25f;
        sf_writef_float(f, &x, 1);
    }
    return f && sf_close(f) == 0;
}

static void write_bytes(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    ck_assert(f && (!n || fwrite(bytes, n, 1, f) == 1) && !fclose(f));
}

static void write_number(long at, uint32_t x)
{
    FILE *f = fopen(path, "r+b");

    ck_assert(f && fseek(f, at, SEEK_SET) == 0);
    for (int i = 0; i < 4; i++)
        fputc((int)(x >> 8 * i & 0xff), f);
    ck_assert_int_eq(fclose(f), 0);
}

/* path's bytes go to `to`, in pieces that divide nothing. */
static void feed(int to)
{
    uint8_t bytes[1499];
    int from = open(path, O_RDONLY);
    ssize_t n;

    while ((n = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, (size_t)n) != n)
            break;
    _exit(0);
}

/* Standard input is a pipe that path's bytes come from. */
static void begin_pipe(void)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    feeder = fork();
    ck_assert_int_ge(feeder, 0);
    if (feeder == 0) {
        close(ends[0]);
        feed(ends[1]);
    }
    close(ends[1]);
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
}

static void end_pipe(void)
{
    int null = open("/dev/null", O_RDONLY);

    dup2(null, STDIN_FILENO); /* a feeder that still writes is told */
    close(null);
    waitpid(feeder, NULL, 0);
}

static void read_all(const char *from, result *r)
{
    file_audio *a;
    ptrdiff_t n;

    ck_assert_msg(file_audio_open(&a, from, &limits, why, sizeof why) == 0, "%s", why);
    r->info = *file_audio_get_info(a);
    r->size = 0;
    while ((n = file_audio_read(a, r->bytes + r->size, 320, why, sizeof why)) > 0) {
        r->size += (size_t)n * r->info.frame_bytes;
        ck_assert_uint_lt(r->size, ROOM - 320 * 4);
    }
    ck_assert_msg(n == 0, "%s", why);
    r->state = file_audio_get_state(a);
    file_audio_close(a);
}

static void read_piped(void)
{
    begin_pipe();
    read_all("-", &piped);
    end_pipe();
}

static void refuse_piped(void)
{
    file_audio *a;

    begin_pipe();
    ck_assert_int_eq(file_audio_open(&a, "-", &limits, why, sizeof why), -1);
    end_pipe();
}

/* ---- containers ---- */

static const struct {
    const char *name;
    int format;
} formats[] = {
    { "wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16 },
    { "wav, float", SF_FORMAT_WAV | SF_FORMAT_FLOAT },
    { "wav, mu-law", SF_FORMAT_WAV | SF_FORMAT_ULAW },
    { "wav, adpcm", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM },
    { "wav, gsm", SF_FORMAT_WAV | SF_FORMAT_GSM610 },
    { "wavex", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24 },
    { "rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16 },
    { "w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16 },
    { "flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16 },
    { "mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III },
    { "ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS },
    { "opus", SF_FORMAT_OGG | SF_FORMAT_OPUS },
    { "ogg flac", SF_FORMAT_OGG | SF_FORMAT_FLAC },
    { "aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16 },
    { "au", SF_FORMAT_AU | SF_FORMAT_PCM_16 },
    { "caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16 },
    { "sphere", SF_FORMAT_NIST | SF_FORMAT_PCM_16 },
    { "sample dump", SF_FORMAT_SDS | SF_FORMAT_PCM_16 },
};

START_TEST(every_container_gives_through_a_pipe_what_its_file_gives)
{
    if (!write_audio(formats[_i].format))
        return;
    read_all(path, &on_disk);
    read_piped();
    ck_assert_msg(!piped.state.cut, "%s: cut, promised %g", formats[_i].name, piped.state.promised);
    ck_assert_msg(piped.size == on_disk.size && on_disk.size >= FRAMES * 2,
                  "%s: %zu instead of %zu", formats[_i].name, piped.size, on_disk.size);
    ck_assert_msg(!memcmp(piped.bytes, on_disk.bytes, on_disk.size), "%s", formats[_i].name);
}
END_TEST

START_TEST(every_container_that_was_cut_off_is_told_through_a_pipe)
{
    struct stat s;

    if (!write_audio(formats[_i].format))
        return;
    ck_assert_int_eq(stat(path, &s), 0);
    ck_assert_int_eq(truncate(path, s.st_size * 6 / 10), 0);
    read_piped();
    ck_assert_msg(piped.state.cut && piped.state.frames_read > RATE / 2, "%s: %d, %ld",
                  formats[_i].name, piped.state.cut, (long)piped.state.frames_read);
}
END_TEST

static const int chained[] = { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                               SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III };

START_TEST(another_recording_behind_the_first_is_told_through_a_pipe)
{
    static uint8_t whole[1 << 19];

    if (!write_audio(chained[_i]))
        return;
    FILE *f = fopen(path, "r+b");
    size_t n = fread(whole, 1, sizeof whole, f);
    ck_assert(fseek(f, 0, SEEK_END) == 0 && fwrite(whole, n, 1, f) == 1 && fclose(f) == 0);
    read_piped();
    ck_assert(piped.state.cut && piped.state.more && piped.size >= FRAMES * 2);
}
END_TEST

START_TEST(a_fifo_and_a_file_as_standard_input_are_read_as_well)
{
    int in;

    ck_assert(write_audio(SF_FORMAT_FLAC | SF_FORMAT_PCM_16));
    read_all(path, &on_disk);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    feeder = fork();
    if (feeder == 0)
        feed(open(fifo, O_WRONLY));
    read_all(fifo, &piped);
    waitpid(feeder, NULL, 0);
    ck_assert(piped.size == on_disk.size && !memcmp(piped.bytes, on_disk.bytes, on_disk.size));
    in = open(path, O_RDONLY);
    dup2(in, STDIN_FILENO);
    close(in);
    read_all("-", &piped);
    ck_assert(piped.size == on_disk.size && !memcmp(piped.bytes, on_disk.bytes, on_disk.size));
}
END_TEST

/* A tag with a picture, larger than what libsndfile holds of a header. */
START_TEST(a_picture_before_the_sound_is_no_hindrance)
{
    enum { PICTURE = 300000 };
    static uint8_t whole[1 << 20];
    size_t n;
    FILE *f;

    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16));
    read_all(path, &on_disk);
    f = fopen(path, "rb");
    n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    f = fopen(path, "wb");
    fwrite(whole, 12, 1, f);
    fwrite("id3 \xe0\x93\x04\0", 8, 1, f);
    for (int i = 0; i < PICTURE; i++)
        fputc(i & 0xff, f);
    ck_assert(fwrite(whole + 12, n - 12, 1, f) == 1 && fclose(f) == 0);
    read_piped();
    ck_assert(!piped.state.cut && piped.size == on_disk.size);
}
END_TEST

/* ---- what a WAV header says of its length ---- */

enum { SIZE_OF_RIFF = 4, SIZE_OF_DATA = 40 };

static const uint32_t lengths[] = { 0,          0x7fffffff, 0x7fffffdb, 0x7ffff000, 0x7fff0000,
                                    0x80000000, 0xfffffffe, 0xffffffff, 0xffffffdb, 0x80000024 };
static const uint32_t riffs[] = { 0, 8, 36, 0x7ffff024, 0x7fffffff, 0x80000024, 0xffffffff };

START_TEST(a_wav_of_unknown_length_ends_with_its_pipe)
{
    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16));
    read_all(path, &on_disk);
    write_number(SIZE_OF_DATA, lengths[_i]);
    for (size_t k = 0; k < sizeof riffs / sizeof *riffs; k++) {
        write_number(SIZE_OF_RIFF, riffs[k]);
        read_piped();
        ck_assert_msg(piped.size == on_disk.size && !piped.state.cut && piped.info.duration == 0,
                      "data %#x, RIFF %#x: %zu bytes, cut %d, %g s", lengths[_i], riffs[k],
                      piped.size, piped.state.cut, piped.info.duration);
        ck_assert(!memcmp(piped.bytes, on_disk.bytes, on_disk.size));
    }
}
END_TEST

START_TEST(packed_sound_of_unknown_length_ends_with_its_pipe)
{
    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_ULAW));
    read_all(path, &on_disk);
    write_number(54, lengths[_i]); /* behind a longer fmt and a fact */
    read_piped();
    ck_assert_msg(piped.size == on_disk.size && !piped.state.cut, "%#x: %zu, cut %d", lengths[_i],
                  piped.size, piped.state.cut);
}
END_TEST

START_TEST(a_wav_that_tells_its_length_is_held_to_it)
{
    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16));
    read_piped();
    ck_assert_double_eq_tol(piped.info.duration, 3, 1e-9);
    write_number(SIZE_OF_DATA, 1 << 20);
    read_piped();
    ck_assert(piped.state.cut && piped.size == FRAMES * 2);
    ck_assert_double_eq_tol(piped.state.promised, (1 << 19) / (double)RATE, 1e-6);
}
END_TEST

/* CAF has a word for it. */
START_TEST(a_caf_of_unknown_length_ends_with_its_pipe)
{
    static uint8_t whole[1 << 18];
    uint8_t *data;

    ck_assert(write_audio(SF_FORMAT_CAF | SF_FORMAT_PCM_16));
    read_all(path, &on_disk);
    FILE *f = fopen(path, "rb");
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    data = memmem(whole, n, "data\0\0\0\0", 8);
    ck_assert_ptr_nonnull(data);
    memset(data + 4, 0xff, 8);
    write_bytes(whole, n);
    read_piped();
    ck_assert(!piped.state.cut && piped.size == on_disk.size && piped.info.duration == 0);
    ck_assert(!memcmp(piped.bytes, on_disk.bytes, on_disk.size));
}
END_TEST

/* No sound, and then a list: that is not sound. */
START_TEST(an_empty_wav_is_empty)
{
    uint8_t wav[44 + 5000];

    ck_assert(write_audio(SF_FORMAT_WAV | SF_FORMAT_PCM_16));
    FILE *f = fopen(path, "rb");
    ck_assert(fread(wav, 44, 1, f) == 1 && fclose(f) == 0);
    memset(wav + SIZE_OF_DATA, 0, 4);
    write_bytes(wav, 44);
    read_piped();
    ck_assert(piped.size == 0 && !piped.state.cut);
    memset(wav + 44, 1, 5000);
    memcpy(wav + 44, "LIST\x14\0\0\0INFO", 12);
    write_bytes(wav, 72);
    read_piped();
    ck_assert(piped.size == 0 && !piped.state.cut);
}
END_TEST

/* A writer of AIFF that cannot go back leaves 0, where nothing says that this is unknown. */
START_TEST(other_headers_that_were_never_completed_are_told)
{
    ck_assert(write_audio(SF_FORMAT_AU | SF_FORMAT_PCM_16));
    write_number(8, 0);
    read_piped();
    ck_assert(piped.state.cut && piped.state.unended && piped.size == 0);
    write_number(8, 0xffffffff);
    read_piped();
    ck_assert(!piped.state.cut && piped.size == FRAMES * 2);
}
END_TEST

/* ---- what is no audio ---- */

START_TEST(no_audio_is_called_by_its_name)
{
    write_bytes("", 0);
    refuse_piped();
    ck_assert_str_eq(why, "standard input is empty");
    write_bytes("\0\0\0\x20"
                "ftypM4A ",
                12);
    refuse_piped();
    ck_assert_msg(strstr(why, "MP4") && strstr(why, "ffmpeg -i FILE -f wav - | shoal-file -"), "%s",
                  why);
    write_bytes("this is a text, and a longer one than any header", 48);
    refuse_piped();
    ck_assert_msg(strstr(why, "--raw") && strstr(why, "ffmpeg -i FILE") && !strstr(why, ".;") &&
                      !strstr(why, "Error :"),
                  "%s", why);
    write_bytes("fLaC and no more of it, which is not a stream of FLAC", 53);
    refuse_piped();
    ck_assert_msg(!strstr(why, ".;") && !strstr(why, "Error :"), "%s", why);
    file_audio *a;
    ck_assert_int_eq(file_audio_open(&a, path, &limits, why, sizeof why), -1);
    ck_assert_msg(!strstr(why, ".;") && !strstr(why, "Error :"), "%s", why);
    write_bytes("FORM\0\0\1\0008SVXVHDR\0\0\0\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 40);
    refuse_piped();
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    ck_assert_int_eq(file_audio_open(&a, "-", &limits, why, sizeof why), -1);
    ck_assert_str_eq(why, "standard input is empty");
    dup2(open("/", O_RDONLY), STDIN_FILENO);
    ck_assert_int_eq(file_audio_open(&a, "-", &limits, why, sizeof why), -1);
    ck_assert_str_eq(why, "cannot read it: Is a directory");
}
END_TEST

#define COUNT(a) (int)(sizeof a / sizeof *a)

static Suite *pipe_suite(void)
{
    Suite *s = suite_create("file pipe");
    TCase *t = tcase_create("file pipe");

    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_add_loop_test(t, every_container_gives_through_a_pipe_what_its_file_gives, 0,
                        COUNT(formats));
    tcase_add_loop_test(t, every_container_that_was_cut_off_is_told_through_a_pipe, 0,
                        COUNT(formats));
    tcase_add_loop_test(t, another_recording_behind_the_first_is_told_through_a_pipe, 0,
                        (int)(sizeof chained / sizeof *chained));
    tcase_add_test(t, a_fifo_and_a_file_as_standard_input_are_read_as_well);
    tcase_add_test(t, a_picture_before_the_sound_is_no_hindrance);
    tcase_add_loop_test(t, a_wav_of_unknown_length_ends_with_its_pipe, 0, COUNT(lengths));
    tcase_add_loop_test(t, packed_sound_of_unknown_length_ends_with_its_pipe, 0, COUNT(lengths));
    tcase_add_test(t, a_wav_that_tells_its_length_is_held_to_it);
    tcase_add_test(t, a_caf_of_unknown_length_ends_with_its_pipe);
    tcase_add_test(t, an_empty_wav_is_empty);
    tcase_add_test(t, other_headers_that_were_never_completed_are_told);
    tcase_add_test(t, no_audio_is_called_by_its_name);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return suite_run(pipe_suite());
}
