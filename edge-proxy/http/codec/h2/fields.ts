/** A field outside of a message. */

/** Name and value; characters below U+0100, one a byte. */
export type Field = readonly [name: string, value: string];
