import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { applyPatch, LAST_APPLIED, withLastApplied } from './last-applied.ts';

const resource = (metadata: object, spec: object) =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'a', ...metadata },
    spec,
  }) as unknown as Resource;

it('writes the annotation as kubectl writes it', () => {
  const applied = withLastApplied(
    resource({ namespace: 'shop', labels: { b: '1', a: '2' } }, { hosts: ['x'], http: [{ b: 1, a: 2 }] }),
  );
  expect(applied.metadata.annotations?.[LAST_APPLIED]).toBe(
    '{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"annotations":{},"labels":{"a":"2","b":"1"},"name":"a","namespace":"shop"},"spec":{"hosts":["x"],"http":[{"a":2,"b":1}]}}\n',
  );
});

it('sets what the file says, removes what it no longer says, and leaves the rest', () => {
  const before = withLastApplied(resource({ labels: { mine: 'a', old: 'b' } }, { hosts: ['x'], http: [] }));
  const live = { ...before, metadata: { ...before.metadata, labels: { mine: 'a', old: 'b', theirs: 'c' } } };
  const patch = applyPatch(live, withLastApplied(resource({ labels: { mine: 'd' } }, { hosts: ['y'] })));
  expect(patch).toMatchObject({ metadata: { labels: { mine: 'd', old: null } }, spec: { hosts: ['y'], http: null } });
  expect(JSON.stringify(patch['metadata'])).not.toContain('theirs');
});

it('removes an annotation of an earlier file where the new one is too large to be kept', () => {
  const live = withLastApplied(resource({}, { hosts: ['x'] }));
  const desired = withLastApplied(
    resource({}, { hosts: Array.from({ length: 9000 }, (_, i) => `host-${i}.shop.svc.cluster.local`) }),
  );
  expect(desired.metadata.annotations).not.toHaveProperty([LAST_APPLIED]);
  expect(applyPatch(live, desired)).toMatchObject({ metadata: { annotations: { [LAST_APPLIED]: null } } });
});
