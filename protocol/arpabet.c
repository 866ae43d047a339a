/* arpabet.c - the phones of English as CMUdict writes them: what to show people instead
 *
 * One table for all: /v1/model tells it, the page and other clients take it from there. Capitals in
 * an example are what sounds so. */
#include "shoal-protocol.h"

#include <string.h>

static const shoal_arpabet phones[] = {
    /* alphabetical */
    { "AA", "ɑ", "fAther" },   { "AE", "æ", "cAt" },   { "AH", "ʌ", "cUt, About" },
    { "AO", "ɔ", "lAW" },      { "AW", "aʊ", "nOW" },  { "AY", "aɪ", "mY" },
    { "B", "b", "Bed" },       { "CH", "tʃ", "CHin" }, { "D", "d", "Day" },
    { "DH", "ð", "THis" },     { "EH", "ɛ", "bEd" },   { "ER", "ɝ", "bIRd" },
    { "EY", "eɪ", "dAY" },     { "F", "f", "Fish" },   { "G", "ɡ", "Go" },
    { "HH", "h", "He" },       { "IH", "ɪ", "fIt" },   { "IY", "i", "fEEt" },
    { "JH", "dʒ", "Joy" },     { "K", "k", "Key" },    { "L", "l", "Let" },
    { "M", "m", "Me" },        { "N", "n", "No" },     { "NG", "ŋ", "siNG" },
    { "OW", "oʊ", "gO" },      { "OY", "ɔɪ", "bOY" },  { "P", "p", "Pen" },
    { "R", "ɹ", "Red" },       { "S", "s", "See" },    { "SH", "ʃ", "SHe" },
    { "SIL", "␣", "silence" }, { "T", "t", "Tea" },    { "TH", "θ", "THin" },
    { "UH", "ʊ", "bOOk" },     { "UW", "u", "fOOd" },  { "V", "v", "Very" },
    { "W", "w", "We" },        { "Y", "j", "Yes" },    { "Z", "z", "Zoo" },
    { "ZH", "ʒ", "viSion" },
};

const shoal_arpabet *shoal_arpabet_find(const char *label)
{
    for (size_t i = 0; i < sizeof phones / sizeof phones[0]; i++)
        if (strcmp(phones[i].label, label) == 0)
            return &phones[i];
    return NULL;
}
