import { expect, it } from 'vitest';
import { type DeltaDiscoveryRequest, MAX_POLL_NAMES, RESOURCE_TYPES, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { bucketOf, HELD_BUCKETS } from '../../shared/xds/held-digests.ts';
import type { HeldConfig } from './config-journal.ts';
import { namePages } from './held-resources.ts';
import { WantedResources } from './wanted-resources.ts';

const COUNT = 50_000;
const namesOf = ({ resourceNamesSubscribe = [], resourceNamesUnsubscribe = [], ...rest }: DeltaDiscoveryRequest) => [
  ...resourceNamesSubscribe,
  ...resourceNamesUnsubscribe,
  ...Object.keys(rest.initialResourceVersions ?? {}),
];

it('says no more names of wanted resources in one poll than the control plane takes', () => {
  const wanted = new WantedResources();
  for (let i = 0; i < COUNT; i++) wanted.add(i % 2 === 0 ? 'virtualHosts' : 'clusters', `${i}`, 0);
  const polls: string[][] = [];
  while (wanted.hasChanges) polls.push(wanted.takeRequests().flatMap(namesOf));
  expect(polls.map((names) => names.length)).toEqual([MAX_POLL_NAMES, MAX_POLL_NAMES, COUNT - 2 * MAX_POLL_NAMES]);
  expect(new Set(polls.flat()).size).toBe(COUNT);
});

it('says no more names of held resources in one poll than the control plane takes', () => {
  const entries = Array.from(
    { length: COUNT },
    (_, i) => [`${i}`, { name: `${i}`, version: '', resource: {} }] as const,
  );
  const held = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, new Map()])) as HeldConfig;
  for (const [name, entry] of entries) held.clusters.set(name, entry);
  const buckets = Array.from({ length: HELD_BUCKETS }, (_, bucket) => bucket);
  const pages = namePages(held, [{ typeUrl: TYPE_URLS.clusters, buckets }]);
  const polls = pages.map((requests) => requests.flatMap(namesOf));
  expect(Math.max(...polls.map((names) => names.length))).toBe(MAX_POLL_NAMES);
  expect(new Set(polls.flat()).size).toBe(COUNT);
  // A bucket is complete with the poll that has its last name.
  const sent = pages.flatMap((requests) => requests.flatMap(({ namesSent = [] }) => namesSent));
  expect(sent).toEqual(buckets);
  const lastOf = (bucket: number) => polls.findLastIndex((names) => names.some((name) => bucketOf(name) === bucket));
  for (const bucket of buckets)
    expect(pages.findIndex((requests) => requests.some(({ namesSent }) => namesSent?.includes(bucket)))).toBe(
      lastOf(bucket),
    );
});
