/** How a proxy says what it holds: all names with their versions, or digests and the names that they differ in. */
import {
  type DeltaDiscoveryRequest,
  type Feature,
  MAX_POLL_NAMES,
  type NamesWanted,
  type ResourceType,
  TYPE_URLS,
  typeOfUrl,
  typesWith,
} from '../../shared/xds/discovery.ts';
import { bucketOf, bucketTexts } from '../../shared/xds/held-digests.ts';
import type { HeldConfig } from './config-journal.ts';

/** Of names and versions in one poll; the control plane's limit of a poll is 1 MiB. */
const PAGE = { chars: 256 * 1024, names: MAX_POLL_NAMES };

/**
 * The first requests of a session: everything of every type that the control plane has, or all that is eager.
 * @param wanted names that are fetched on demand
 */
export function subscribeRequests(
  held: HeldConfig,
  features: ReadonlySet<Feature>,
  wanted: { readonly [T in ResourceType]?: readonly string[] } = {},
): Promise<DeltaDiscoveryRequest[]> {
  return Promise.all(
    typesWith(features).map(async (type) => {
      const request = { typeUrl: TYPE_URLS[type], resourceNamesSubscribe: ['*', ...(wanted[type] ?? [])] };
      const entries = [...held[type].values()];
      if (!features.has('tulle.held-digests'))
        return { ...request, initialResourceVersions: Object.fromEntries(entries.map((r) => [r.name, r.version])) };
      if (entries.length === 0) return request;
      return { ...request, heldDigests: await Promise.all(bucketTexts(entries).map(digestOf)) };
    }),
  );
}

/** What is held of the wanted buckets, in pages: each one poll's requests. A bucket may begin in one and end in a later one. */
export function namePages(held: HeldConfig, wanted: readonly NamesWanted[]): DeltaDiscoveryRequest[][] {
  const pages: DeltaDiscoveryRequest[][] = [];
  let left = { ...PAGE };
  for (const { typeUrl, buckets } of wanted) {
    const type = typeOfUrl(typeUrl);
    if (type === undefined) continue;
    const byBucket = Map.groupBy(held[type].values(), ({ name }) => bucketOf(name));
    let page = pageOf(typeUrl);
    const last = pages.at(-1);
    if (last) last.push(page.request);
    else pages.push([page.request]);
    for (const bucket of buckets) {
      for (const { name, version } of byBucket.get(bucket) ?? []) {
        const chars = name.length + version.length;
        if (left.chars < chars || left.names === 0) {
          page = pageOf(typeUrl);
          pages.push([page.request]);
          left = { ...PAGE };
        }
        left.chars -= chars;
        left.names -= 1;
        page.versions[name] = version;
      }
      page.sent.push(bucket);
    }
  }
  return pages;
}

function pageOf(typeUrl: string) {
  const versions: Record<string, string> = Object.create(null);
  const sent: number[] = [];
  return { versions, sent, request: { typeUrl, initialResourceVersions: versions, namesSent: sent } };
}

async function digestOf(text: string): Promise<string> {
  if (text === '') return '';
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
