/**
 * How one NACK names several resources. `google.rpc.Status` carries a single message, so a proxy writes one line per
 * refused resource, `<name>: <fault>`; whatever else the response held is accepted. A message that names none of the
 * response's resources refuses the whole response, as Envoy's own NACKs do.
 */

/** So many characters of faults a message may hold, besides the names: a poll has a limit. */
const MAX_FAULTS = 256 * 1024;

/** @param faults resource name -> what is wrong with it; the more there are, the shorter each is cut */
export function nackMessage(faults: ReadonlyMap<string, string>): string {
  const most = Math.floor(MAX_FAULTS / Math.max(1, faults.size));
  return [...faults].map(([name, fault]) => `${name}: ${fault.replace(/\s+/g, ' ').slice(0, most)}`).join('\n');
}

/** The reverse of `nackMessage`, for the resources of one response; every name when the message names none. */
export function nackedResources(message: string, names: Iterable<string>): Map<string, string> {
  const all = [...names].sort((a, b) => b.length - a.length);
  const faults = new Map<string, string>();
  for (const line of message.split('\n')) {
    // Longest first: one name may be the start of another, and names hold colons themselves.
    const name = all.find((candidate) => line.startsWith(`${candidate}: `));
    if (name !== undefined) faults.set(name, line.slice(name.length + 2));
  }
  return faults.size > 0 ? faults : new Map(all.map((name) => [name, message]));
}
