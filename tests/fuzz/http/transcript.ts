/** What a parser made of the bytes of one connection, in a form in which two parsers can be compared. */
export interface Message {
  /** Start line and fields as understood, keep-alive and upgrade decisions. */
  readonly head: string;
  /** Latin-1. */
  body: string;
  /** Trailer fields of a whole message; undefined while its end has not been seen. */
  end: string | undefined;
}

export interface Transcript {
  readonly messages: Message[];
  /** The rest is a tunnel, or of no interest because the connection ends. */
  stopped: boolean;
  /** Why no more could be read; undefined: all was. */
  error: string | undefined;
}

/** @returns how `ours` says anything that `theirs` does not; undefined: nothing */
export function excess(ours: Transcript, theirs: Transcript): string | undefined {
  for (const [i, mine] of ours.messages.entries()) {
    const other = theirs.messages[i];
    if (!other) return `message ${i} is refused by the other parser`;
    if (other.head !== mine.head) return `head ${i}`;
    if (mine.end === undefined ? !other.body.startsWith(mine.body) : other.body !== mine.body) return `body ${i}`;
    if (mine.end !== undefined && mine.end !== other.end) return `end ${i}`;
  }
  // What is whole here and followed by nothing must be so there.
  return ours.error === undefined && !ours.stopped && theirs.messages.length > ours.messages.length
    ? 'the other parser sees more messages'
    : undefined;
}

/** Fields as `name: value` lines. @param raw names and values by turns */
export function fieldLines(raw: readonly string[]): string {
  let out = '';
  for (let i = 0; i < raw.length; i += 2) out += `${raw[i]}: ${raw[i + 1]}\n`;
  return out;
}
