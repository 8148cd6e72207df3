/**
 * How one NACK names several resources. `google.rpc.Status` carries a single message, so a proxy writes one line per
 * refused resource, `<name>: <reason>`; the response's other resources are accepted. A message that names none of the
 * response's resources refuses the whole response, as Envoy's own NACKs do.
 */

/** Characters of reasons in one message, without the names: polls are limited to 1 MiB. */
const MAX_REASONS = 256 * 1024;

/** @param reasons resource name -> what is wrong with it; the more there are, the shorter each is cut */
export function nackMessage(reasons: ReadonlyMap<string, string>): string {
  const most = Math.floor(MAX_REASONS / Math.max(1, reasons.size));
  return [...reasons].map(([name, reason]) => `${name}: ${reason.replace(/\s+/g, ' ').slice(0, most)}`).join('\n');
}

/**
 * The reverse of `nackMessage`, for the resources of one response; every name when the message names none. The work is in
 * proportion to the message, whatever it holds and however many names there are.
 */
export function nackedResources(message: string, names: Iterable<string>): Map<string, string> {
  const all = new Set(names);
  const lengths = new Set([...all].map((name) => name.length));
  const longest = Math.max(0, ...lengths);
  const reasons = new Map<string, string>();
  for (const line of message.split('\n')) {
    const name = nameOf(line, all, lengths, longest);
    if (name !== undefined) reasons.set(name, line.slice(name.length + 2));
  }
  return reasons.size > 0 ? reasons : new Map([...all].map((name) => [name, message]));
}

/** Longest first: one name may be the start of another, and names hold colons themselves. */
function nameOf(
  line: string,
  names: ReadonlySet<string>,
  lengths: ReadonlySet<number>,
  longest: number,
): string | undefined {
  for (let at = line.lastIndexOf(': ', longest); at > 0; at = line.lastIndexOf(': ', at - 1)) {
    if (lengths.has(at) && names.has(line.slice(0, at))) return line.slice(0, at);
  }
  return undefined;
}
