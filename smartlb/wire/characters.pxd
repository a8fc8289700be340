"""Which characters may stand where in HTTP/1.1: one table for all scans, a look-up for each byte.

RFC 9110 section 5.6.2 has tokens, section 5.5 field values, RFC 3986 the rest. CR, LF, NUL, other controls and DEL are of
no kind, so every scan ends at the empty line of a head at the latest.
"""

cdef extern from *:
    """
    enum {
        SMARTLB_TOKEN = 1,   /* of a token, such as the name of a header */
        SMARTLB_ODD = 2,     /* of a token, but neither a letter nor a digit nor - */
        SMARTLB_FIELD = 4,   /* of the value of a header: HTAB, SP, visible, or beyond ASCII */
        SMARTLB_TARGET = 8,  /* of a target: visible, but # */
        SMARTLB_HOST = 16,   /* of a host's name */
        SMARTLB_HEX = 32,    /* a hexadecimal digit */
        SMARTLB_F = SMARTLB_FIELD,
        SMARTLB_FT = SMARTLB_FIELD | SMARTLB_TARGET,
        SMARTLB_FTH = SMARTLB_FT | SMARTLB_HOST,
        SMARTLB_ALNUM = SMARTLB_FTH | SMARTLB_TOKEN,
        SMARTLB_XDIGIT = SMARTLB_ALNUM | SMARTLB_HEX,
        SMARTLB_MARK = SMARTLB_ALNUM | SMARTLB_ODD,
        SMARTLB_NOT_IN_HOST = SMARTLB_FT | SMARTLB_TOKEN | SMARTLB_ODD,
    };

    static const unsigned char smartlb_kinds[256] = {
        ['\\t'] = SMARTLB_F, [' '] = SMARTLB_F, ['!'] = SMARTLB_MARK, ['"'] = SMARTLB_FT,
        ['#'] = SMARTLB_F | SMARTLB_TOKEN | SMARTLB_ODD, ['$' ... '\\''] = SMARTLB_MARK, ['(' ... ')'] = SMARTLB_FTH,
        ['*' ... '+'] = SMARTLB_MARK, [','] = SMARTLB_FTH, ['-'] = SMARTLB_ALNUM, ['.'] = SMARTLB_MARK,
        ['/'] = SMARTLB_FT, ['0' ... '9'] = SMARTLB_XDIGIT, [':'] = SMARTLB_FT, [';'] = SMARTLB_FTH,
        ['<'] = SMARTLB_FT, ['='] = SMARTLB_FTH, ['>' ... '@'] = SMARTLB_FT,
        ['A' ... 'F'] = SMARTLB_XDIGIT, ['G' ... 'Z'] = SMARTLB_ALNUM, ['[' ... ']'] = SMARTLB_FT,
        ['^'] = SMARTLB_NOT_IN_HOST, ['_'] = SMARTLB_MARK, ['`'] = SMARTLB_NOT_IN_HOST,
        ['a' ... 'f'] = SMARTLB_XDIGIT, ['g' ... 'z'] = SMARTLB_ALNUM, ['{'] = SMARTLB_FT,
        ['|'] = SMARTLB_NOT_IN_HOST, ['}'] = SMARTLB_FT, ['~'] = SMARTLB_MARK,
        [0x80 ... 0xff] = SMARTLB_F,
    };
    """
    const unsigned char KINDS "smartlb_kinds"[256]
    enum:
        TOKEN "SMARTLB_TOKEN"
        ODD "SMARTLB_ODD"
        FIELD "SMARTLB_FIELD"
        TARGET "SMARTLB_TARGET"
        HOST "SMARTLB_HOST"
        HEX "SMARTLB_HEX"
