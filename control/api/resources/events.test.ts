/** Events over the API: two groups before one store. */
import { beforeEach, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../app.ts';

const core = '/api/v1/namespaces/default/events';
const newer = '/apis/events.k8s.io/v1/namespaces/default/events';

let app: ReturnType<typeof createApi>;
beforeEach(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
});

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await app.request(path, {
    method,
    headers: { authorization: 'Bearer admin', 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
  return { status: response.status, body: (await response.json()) as any };
}

/** As client-go's recorder writes it. */
const recorded = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name, namespace: 'default', creationTimestamp: null },
  involvedObject: { kind: 'Pod', namespace: 'default', name: 'web', uid: 'u-1', apiVersion: 'v1' },
  reason: 'Pulled',
  message: 'image is there\n',
  source: { component: 'kubelet', host: 'node-1' },
  firstTimestamp: '2026-01-02T03:04:05Z',
  lastTimestamp: '2026-01-02T03:04:05Z',
  count: 1,
  type: 'Normal',
  eventTime: null,
  reportingComponent: '',
  reportingInstance: '',
  ...more,
});
const renewed = (name: string, more: object = {}) => ({
  metadata: { name },
  eventTime: '2026-01-02T03:04:05.000006Z',
  reportingController: 'example.com/operator',
  reportingInstance: 'operator-0',
  action: 'Binding',
  reason: 'Scheduled',
  regarding: { kind: 'Pod', namespace: 'default', name: 'api' },
  note: 'it runs',
  type: 'Normal',
  ...more,
});

describe('events', () => {
  it('are one resource in two groups', async () => {
    expect(await call('POST', core, recorded('web.1'))).toMatchObject({ status: 201 });
    expect((await call('GET', `${newer}/web.1`)).body).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      regarding: { kind: 'Pod', name: 'web' },
      note: 'image is there\n',
      deprecatedSource: { component: 'kubelet', host: 'node-1' },
      deprecatedCount: 1,
    });
    expect(await call('POST', newer, renewed('api.1'))).toMatchObject({ status: 201 });
    expect(await call('POST', core, renewed('api.1'))).toMatchObject({ status: 422 });
    const { body } = await call('GET', core);
    expect(body).toMatchObject({
      kind: 'EventList',
      apiVersion: 'v1',
      items: [
        { involvedObject: { name: 'api' }, message: 'it runs', reportingComponent: 'example.com/operator' },
        { involvedObject: { name: 'web' }, message: 'image is there\n' },
      ],
    });
    expect((await call('DELETE', `${newer}/web.1`)).body.status).toBe('Success');
    expect(await call('GET', `${core}/web.1`)).toMatchObject({ status: 404 });
  });

  it('are patched as recorders count them', async () => {
    await call('POST', core, recorded('web.1'));
    const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
    const counted = await call(
      'PATCH',
      `${core}/web.1`,
      { count: 7, lastTimestamp: '2026-01-02T04:00:00Z' },
      strategic,
    );
    expect(counted.body).toMatchObject({ count: 7, firstTimestamp: '2026-01-02T03:04:05Z' });
    await call('POST', newer, renewed('api.1'));
    const series = { count: 2, lastObservedTime: '2026-01-02T04:00:00.000001Z' };
    expect(await call('PATCH', `${newer}/api.1`, { series }, strategic)).toMatchObject({
      status: 200,
      body: { series },
    });
    expect((await call('GET', `${core}/api.1`)).body.series).toEqual(series);
    // An event of the older form can be written back in the newer one.
    const { body } = await call('GET', `${newer}/web.1`);
    expect(await call('PUT', `${newer}/web.1`, { ...body, deprecatedCount: 8 })).toMatchObject({ status: 200 });
    expect((await call('GET', `${core}/web.1`)).body.count).toBe(8);
  });

  it('name the owners of their fields in the words of the group that writes', async () => {
    await call('POST', `${newer}?fieldManager=operator`, renewed('api.1'));
    const { metadata } = (await call('GET', `${core}/api.1`)).body;
    expect(metadata.managedFields).toMatchObject([
      { manager: 'operator', apiVersion: 'events.k8s.io/v1', fieldsV1: { 'f:regarding': {}, 'f:note': {} } },
    ]);
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const applied = { ...renewed('api.2'), apiVersion: 'events.k8s.io/v1', kind: 'Event' };
    expect(await call('PATCH', `${newer}/api.2?fieldManager=a`, applied, apply)).toMatchObject({ status: 201 });
    const again = { ...applied, note: 'it runs well' };
    expect((await call('PATCH', `${newer}/api.2?fieldManager=a`, again, apply)).body.note).toBe('it runs well');
  });

  it('are selected by what they are about', async () => {
    await call('POST', core, recorded('web.1'));
    await call('POST', newer, renewed('api.1'));
    const namesOf = async (path: string, selector: string) => {
      const { body } = await call('GET', `${path}?fieldSelector=${encodeURIComponent(selector)}`);
      // biome-ignore lint/suspicious/noExplicitAny: see above
      return body.items?.map((item: any) => item.metadata.name) ?? body.message;
    };
    expect(await namesOf(core, 'involvedObject.name=web,involvedObject.uid=u-1,type!=Warning')).toEqual(['web.1']);
    expect(await namesOf(core, 'source=kubelet')).toEqual(['web.1']);
    expect(await namesOf(core, 'source=example.com/operator')).toEqual(['api.1']);
    expect(await namesOf(newer, 'regarding.name=web')).toEqual(['web.1']);
    expect(await namesOf(newer, 'reportingController=example.com/operator,reason=Scheduled')).toEqual(['api.1']);
    expect(await namesOf(newer, 'involvedObject.name=web')).toBe('field label not supported: involvedObject.name');
  });

  it('are printed as kubectl prints them', async () => {
    await call('POST', core, recorded('web.1', { count: 0, lastTimestamp: null, firstTimestamp: null }));
    await call('POST', newer, renewed('api.1'));
    const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
    for (const path of [core, newer]) {
      const { body } = await call('GET', path, undefined, table);
      expect(
        body.columnDefinitions.map(({ name, priority }: { name: string; priority: number }) => [name, priority]),
      ).toEqual([
        ['Last Seen', 0],
        ['Type', 0],
        ['Reason', 0],
        ['Object', 0],
        ['Subobject', 1],
        ['Source', 1],
        ['Message', 0],
        ['First Seen', 1],
        ['Count', 1],
        ['Name', 1],
      ]);
      const [api, web] = body.rows.map(({ cells }: { cells: unknown[] }) => cells);
      expect(web).toEqual([
        '<unknown>',
        'Normal',
        'Pulled',
        'pod/web',
        '',
        'kubelet, node-1',
        'image is there',
        '<unknown>',
        '1',
        'web.1',
      ]);
      expect(api.slice(3, 7)).toEqual(['pod/api', '', 'example.com/operator, operator-0', 'it runs']);
      expect(api[0]).toMatch(/^\d+[dhy]/);
    }
  });

  it.each([
    [
      core,
      recorded('a', { involvedObject: { kind: 'Pod', namespace: 'shop', name: 'web' } }),
      'involvedObject.namespace',
    ],
    [core, recorded('a', { lastTimestamp: 'yesterday' }), 'lastTimestamp'],
    [core, recorded('a', { eventTime: '2026-01-02T03:04:05.000006Z' }), 'reportingComponent'],
    [newer, renewed('a', { eventTime: null }), 'eventTime'],
    [newer, renewed('a', { type: 'Odd' }), 'type'],
    [newer, renewed('a', { reportingController: '' }), 'reportingController'],
    [newer, renewed('a', { action: undefined }), 'action'],
    [newer, renewed('a', { note: 'x'.repeat(1025) }), 'note'],
    [newer, renewed('a', { series: { count: 1, lastObservedTime: '2026-01-02T03:04:05.000006Z' } }), 'series.count'],
  ])('are refused at %s where a field is wrong', async (path, body, field) => {
    const { status, body: answer } = await call('POST', path, body);
    expect(status).toBe(422);
    // biome-ignore lint/suspicious/noExplicitAny: see above
    expect(answer.details.causes.map((cause: any) => cause.field)).toContain(field);
  });
});
