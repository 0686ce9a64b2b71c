/* category.c - general categories, asked of utf8proc character by character. */
#include "constrain/category.h"

#include <string.h>
#include <utf8proc.h>

#define BIT(name) (1u << UTF8PROC_CATEGORY_##name)
static const struct category {
    const char *brief, *name;
    uint32_t bits;
} categories[] = {
    {"Lu", "Uppercase_Letter", BIT(LU)},
    {"Ll", "Lowercase_Letter", BIT(LL)},
    {"Lt", "Titlecase_Letter", BIT(LT)},
    {"LC", "Cased_Letter", BIT(LU) | BIT(LL) | BIT(LT)},
    {"Lm", "Modifier_Letter", BIT(LM)},
    {"Lo", "Other_Letter", BIT(LO)},
    {"L", "Letter", BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO)},
    {"Mn", "Nonspacing_Mark", BIT(MN)},
    {"Mc", "Spacing_Mark", BIT(MC)},
    {"Me", "Enclosing_Mark", BIT(ME)},
    {"M", "Mark", BIT(MN) | BIT(MC) | BIT(ME)},
    {"Nd", "Decimal_Number", BIT(ND)},
    {"Nl", "Letter_Number", BIT(NL)},
    {"No", "Other_Number", BIT(NO)},
    {"N", "Number", BIT(ND) | BIT(NL) | BIT(NO)},
    {"Pc", "Connector_Punctuation", BIT(PC)},
    {"Pd", "Dash_Punctuation", BIT(PD)},
    {"Ps", "Open_Punctuation", BIT(PS)},
    {"Pe", "Close_Punctuation", BIT(PE)},
    {"Pi", "Initial_Punctuation", BIT(PI)},
    {"Pf", "Final_Punctuation", BIT(PF)},
    {"Po", "Other_Punctuation", BIT(PO)},
    {"P", "Punctuation", BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO)},
    {"Sm", "Math_Symbol", BIT(SM)},
    {"Sc", "Currency_Symbol", BIT(SC)},
    {"Sk", "Modifier_Symbol", BIT(SK)},
    {"So", "Other_Symbol", BIT(SO)},
    {"S", "Symbol", BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO)},
    {"Zs", "Space_Separator", BIT(ZS)},
    {"Zl", "Line_Separator", BIT(ZL)},
    {"Zp", "Paragraph_Separator", BIT(ZP)},
    {"Z", "Separator", BIT(ZS) | BIT(ZL) | BIT(ZP)},
    {"Cc", "Control", BIT(CC)},
    {"Cf", "Format", BIT(CF)},
    {"Co", "Private_Use", BIT(CO)},
};

static bool cut(const char **name, size_t *len, const char *begin) {
    const size_t n = strlen(begin);
    if (*len < n || memcmp(*name, begin, n) != 0) return false;
    *name += n;
    *len -= n;
    return true;
}

static bool is(const char *name, size_t len, const char *text) {
    return strlen(text) == len && memcmp(name, text, len) == 0;
}

bool ts_category_add(ts_chars *c, ts_work *w, const char *name, size_t len) {
    uint32_t bits = 0, first = UINT32_MAX;
    if (!cut(&name, &len, "gc=")) cut(&name, &len, "General_Category=");
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (is(name, len, categories[i].brief) || is(name, len, categories[i].name)) bits = categories[i].bits;
    if (!bits) return false;
    ts_work_pay(w, 0x110000 / 16);
    for (uint32_t cp = 0; cp <= 0x110000; cp++) {
        const bool in = cp < 0x110000 && bits >> utf8proc_category((utf8proc_int32_t)cp) & 1;
        if (in && first == UINT32_MAX) first = cp;
        if (in || first == UINT32_MAX) continue;
        ts_chars_add(c, w, first, cp - 1);
        first = UINT32_MAX;
    }
    return true;
}
