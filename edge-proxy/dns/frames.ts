/** DNS messages on a byte stream: two bytes of length before each (RFC 1035 4.2.2). */

/** Length and message in one piece, as RFC 7766 8 wants it sent. */
export function frame(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(message.length + 2);
  out[0] = message.length >> 8;
  out[1] = message.length;
  out.set(message, 2);
  return out;
}

export class FrameReader {
  private held: Uint8Array = new Uint8Array(0);

  /** @returns the messages that are complete; what is kept has at most the bytes of one message */
  read(bytes: Uint8Array): Uint8Array[] {
    let all = bytes;
    if (this.held.length > 0) {
      all = new Uint8Array(this.held.length + bytes.length);
      all.set(this.held);
      all.set(bytes, this.held.length);
    }
    const messages: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= 2) {
      const end = at + 2 + ((all[at]! << 8) | all[at + 1]!);
      if (end > all.length) break;
      messages.push(all.slice(at + 2, end));
      at = end;
    }
    this.held = all.slice(at);
    return messages;
  }

  /** A message has begun that is not complete. */
  get isAmidMessage(): boolean {
    return this.held.length > 0;
  }
}
