import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../store/memory.ts';
import { keyOf, service } from '../../store/testing/suite.ts';
import { OpenWatches } from './open-watches.ts';
import { parseSelectors } from './selectors.ts';
import { type WatchRequest, watchBody } from './watch.ts';

const target = {
  kind: { kind: 'Service', plural: 'services', group: '', namespaced: true },
  apiVersion: 'v1',
  namespace: 'shop',
} as unknown as WatchRequest['target'];

describe('watch', () => {
  it('serialises an event once for all watchers of the same form', async () => {
    const store = memoryStore();
    const presented: string[] = [];
    const stop = new AbortController();
    const watch = (presentation: string) => {
      const request: WatchRequest = {
        target,
        selectors: parseSelectors({ group: '', kind: 'ConfigMap' }, undefined, undefined),
        fromRevision: 1,
        markInitialEnd: false,
        timeoutMs: 60_000,
        presentation,
        present: (resource) => {
          presented.push(`${presentation} ${resource.metadata.name}`);
          return presentation === 'plain' ? resource : { rows: [resource.metadata.name] };
        },
      };
      const report = (error: unknown) => expect.unreachable(String(error));
      return watchBody(store, request, { client: stop.signal, report }).getReader();
    };
    const watchers = [watch('plain'), watch('plain'), watch('table'), watch('plain')];
    const lines = Promise.all(watchers.map(async (watcher) => new TextDecoder().decode((await watcher.read()).value)));
    await store.create(keyOf('a'), service('a'));
    const [first, second, table, third] = await lines;
    expect(JSON.parse(first!)).toMatchObject({
      type: 'ADDED',
      object: { metadata: { name: 'a', resourceVersion: '2' } },
    });
    expect([second, third]).toEqual([first, first]);
    expect(JSON.parse(table!)).toEqual({ type: 'ADDED', object: { rows: ['a'] } });
    expect(presented.sort()).toEqual(['plain a', 'table a']);
    stop.abort();
  });

  it('sends bookmarks between the events, of revisions whose events were all sent', async () => {
    const store = memoryStore();
    const request: WatchRequest = {
      target,
      selectors: parseSelectors({ group: '', kind: 'ConfigMap' }, undefined, undefined),
      fromRevision: 1,
      markInitialEnd: false,
      bookmarkMs: 5,
      timeoutMs: 60_000,
      presentation: 'plain',
      present: (resource) => resource,
    };
    const watches = new OpenWatches();
    const report = (error: unknown) => expect.unreachable(String(error));
    const reader = watchBody(store, request, { client: undefined, open: watches, report }).getReader();
    const next = async () => {
      const { done, value } = await reader.read();
      return done ? undefined : JSON.parse(new TextDecoder().decode(value));
    };
    const elsewhere = { ...keyOf('b'), namespace: 'else' };
    await store.create(elsewhere, { ...service('b'), metadata: { name: 'b', namespace: 'else' } });
    expect(await next()).toMatchObject({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '2' } } });
    await store.create(keyOf('a'), service('a'));
    expect(await next()).toMatchObject({ type: 'ADDED', object: { metadata: { resourceVersion: '3' } } });
    await watches.end();
    expect(await next()).toBeUndefined();
  });
});
