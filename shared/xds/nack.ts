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

/** The reverse of `nackMessage`, for the resources of one response; every name when the message names none. */
export function nackedResources(message: string, names: Iterable<string>): Map<string, string> {
  const all = [...names].sort((a, b) => b.length - a.length);
  const reasons = new Map<string, string>();
  for (const line of message.split('\n')) {
    // Longest first: one name may be the start of another, and names hold colons themselves.
    const name = all.find((candidate) => line.startsWith(`${candidate}: `));
    if (name !== undefined) reasons.set(name, line.slice(name.length + 2));
  }
  return reasons.size > 0 ? reasons : new Map(all.map((name) => [name, message]));
}
