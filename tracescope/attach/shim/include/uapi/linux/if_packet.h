/* Included by BCC's own headers; nothing in it is needed. */
