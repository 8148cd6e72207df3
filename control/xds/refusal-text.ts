/** What Envoy's text of a refusal says of single resources. */
import { nackMessage } from '../../shared/xds/nack.ts';

/**
 * Envoy takes the other resources of a response of clusters or listeners, and names those that it refuses:
 * `Error adding/updating cluster(s) A: why, B: why`, with listeners one a line.
 * @param names of the resources that the client has got
 * @returns reasons by name; undefined: the text names none, and the response is refused
 */
export function refusalsIn(text: string, names: Iterable<string>): Map<string, string> | undefined {
  const list = /Error adding\/updating \w+\(s\) (.*)$/s.exec(text)?.[1];
  if (list === undefined) return undefined;
  const found = [...names].flatMap((name) => {
    const at = startOf(list, name);
    return at < 0 ? [] : [{ name, at, from: at + name.length + 2 }];
  });
  if (found.length === 0) return undefined;
  found.sort((a, b) => a.at - b.at);
  return new Map(found.map(({ name, from }, i) => [name, list.slice(from, found[i + 1]?.at).replace(/[,\s]+$/, '')]));
}

function startOf(list: string, name: string): number {
  const start = `${name}: `;
  if (list.startsWith(start)) return 0;
  for (const before of [', ', '\n']) {
    const at = list.indexOf(before + start);
    if (at >= 0) return at + before.length;
  }
  return -1;
}

export interface ErrorDetail {
  readonly code: number;
  readonly message: string;
}

/**
 * The error of a request, as `nackedResources` reads it.
 * @param held names of all that the client has got
 * @param offered names of the response that it answers
 * @returns undefined: what is refused is of an earlier response
 */
export function refusal(
  { code, message }: ErrorDetail,
  held: Iterable<string>,
  offered: ReadonlySet<string>,
): ErrorDetail | undefined {
  const named = refusalsIn(message, held);
  if (!named) return { code, message: message || 'refused without a reason' };
  for (const name of named.keys()) if (!offered.has(name)) named.delete(name);
  return named.size > 0 ? { code, message: nackMessage(named) } : undefined;
}
