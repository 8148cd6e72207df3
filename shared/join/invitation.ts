/**
 * An invitation: what a machine needs to join, in one word. It names the control plane, the token, and the hash of the root
 * certificate, so that no file is copied by hand and nothing between the two can pose as the control plane.
 */
import * as z from 'zod';

const PREFIX = 'tulle-join.';
/** Far above an invitation with eight addresses. */
const MAX_LENGTH = 4096;

const Fields = z.strictObject({
  v: z.literal(1),
  u: z
    .array(z.string().regex(/^https:\/\/[^/\s]+$/))
    .min(1)
    .max(8),
  t: z.string().min(1).max(256),
  h: z.string().regex(/^[0-9a-f]{64}$/),
});

export interface Invitation {
  /** `https://HOST:PORT`, tried in this order. */
  readonly controlPlanes: readonly string[];
  /** Secret. */
  readonly token: string;
  /** SHA-256 of the root certificate (DER), lower-case hexadecimal. */
  readonly rootHash: string;
}

/** The text is not an invitation; the message never holds it. */
export class InvitationError extends Error {
  override name = 'InvitationError';
}

export function formatInvitation({ controlPlanes, token, rootHash }: Invitation): string {
  const json = JSON.stringify({ v: 1, u: controlPlanes, t: token, h: rootHash });
  return PREFIX + btoa(json).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** @param text white space around it is ignored @throws InvitationError */
export function parseInvitation(text: string): Invitation {
  const word = text.trim();
  if (!word.startsWith(PREFIX)) throw new InvitationError(`invitation: must begin with "${PREFIX}"`);
  if (word.length > MAX_LENGTH) throw new InvitationError(`invitation: must have at most ${MAX_LENGTH} characters`);
  const parsed = Fields.safeParse(decode(word.slice(PREFIX.length)));
  if (!parsed.success)
    throw new InvitationError('invitation: is damaged; copy the whole line that "tulle invite" printed');
  const { u, t, h } = parsed.data;
  return { controlPlanes: u, token: t, rootHash: h };
}

function decode(text: string): unknown {
  try {
    return JSON.parse(atob(text.replaceAll('-', '+').replaceAll('_', '/'))) as unknown;
  } catch {
    return undefined;
  }
}
