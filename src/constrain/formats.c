/* formats.c - formats as regular expressions. They may allow less than the standard does (a fraction of a second has at
 * most nine digits, an address is no quoted string), never more. */
#include "constrain/formats.h"
#include "constrain/regex.h"

/* RFC 3339: days of months, leap years by the Gregorian rule. */
#define DATE                                                                                                           \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"                   \
    "02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define TIME                                                                                                           \
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:[Zz]|[+\\-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 "(?:" OCTET "\\.){3}" OCTET
/* RFC 3986, section 3.2.2 */
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                           \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32                          \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16 ")?::(?:" H16 ":){2}" LS32      \
    "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?::" LS32                            \
    "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?::)"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,61}[A-Za-z0-9])?"
#define MAIL_LABEL "[A-Za-z0-9](?:[A-Za-z0-9\\-]*[A-Za-z0-9])?" /* not counted: a state for all places */
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]+"
#define PERCENT "%[0-9A-Fa-f]{2}"
#define PCHAR "(?:[A-Za-z0-9\\-._~!$&'()*+,;=:@]|" PERCENT ")"
#define AUTHORITY                                                                                                      \
    "(?:(?:[A-Za-z0-9\\-._~!$&'()*+,;=:]|" PERCENT ")*@)?(?:\\[" IPV6 "\\]|(?:[A-Za-z0-9\\-._~!$&'()*+,;=]|" PERCENT   \
    ")*)(?::\\d*)?"
#define REST "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define SEGMENTS "(?:/" PCHAR "*)*"
#define URI                                                                                                            \
    "[A-Za-z][A-Za-z0-9+\\-.]*:(?://" AUTHORITY SEGMENTS "|/(?:" PCHAR "+" SEGMENTS ")?|" PCHAR "+" SEGMENTS ")" REST
#define RELATIVE                                                                                                       \
    "(?://" AUTHORITY SEGMENTS "|/(?:" PCHAR "+" SEGMENTS ")?|(?:[A-Za-z0-9\\-._~!$&'()*+,;=@]|" PERCENT ")+" SEGMENTS \
    "|)" REST
#define HMS "(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)"
#define YMD "(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)"

static const struct format {
    const char *name, *regex; /* NULL: refused */
    uint32_t longest;         /* 0: any length */
} formats[] = {
    {"date", DATE, 0},
    {"time", TIME, 0},
    {"date-time", DATE "[Tt]" TIME, 0},
    {"duration", "P(?:" YMD "(?:T" HMS ")?|T" HMS "|\\d{1,9}W)", 0},
    {"uuid", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", 0},
    {"email", ATOM "(?:\\." ATOM ")*@(?:" MAIL_LABEL "\\.)+" MAIL_LABEL, 0},
    {"hostname", LABEL "(?:\\." LABEL ")*", 253},
    {"ipv4", IPV4, 0},
    {"ipv6", IPV6, 0},
    {"uri", URI, 0},
    {"uri-reference", "(?:" URI "|" RELATIVE ")", 0},
    {"json-pointer", "(?:/(?:[^~/]|~[01])*)*", 0},
    {"idn-email", NULL, 0},
    {"idn-hostname", NULL, 0},
    {"iri", NULL, 0},
    {"iri-reference", NULL, 0},
    {"uri-template", NULL, 0},
    {"relative-json-pointer", NULL, 0},
    {"regex", NULL, 0},
};

ts_format ts_format_rx(ts_rxs *p, ts_span name, ts_rx *out) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (name.len != strlen(f->name) || memcmp(name.data, f->name, name.len) != 0) continue;
        if (!f->regex) return TS_FORMAT_REFUSED;
        size_t at;
        *out = ts_regex(p, f->regex, strlen(f->regex), false, TS_SPELL_JSON, &at);
        if (f->longest) *out = ts_rx_and(p, *out, ts_rx_rep(p, ts_chars_any(p, TS_SPELL_JSON), 1, f->longest));
        return TS_FORMAT_KEPT;
    }
    return TS_FORMAT_UNKNOWN;
}
