import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { kinds, validate } from '../../../../shared/resources/index.ts';
import type { Resource } from '../../../../shared/resources/resource.ts';
import { memoryStore } from '../../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../../app.ts';
import type { ManagedFieldsEntry } from './managers.ts';

interface Step {
  method: string;
  path: string;
  type: string;
  body: unknown;
  answer: unknown;
}

/** Requests and what kube-apiserver 1.37.2 with Istio's CRDs answered, in their order. */
const steps = JSON.parse(
  readFileSync(new URL('./testing/kube-apiserver-1.37.json', import.meta.url), 'utf8'),
) as Step[];

it('answers as kube-apiserver: values, owners, codes and messages', async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  const app = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  expect(steps.length).toBeGreaterThan(20);
  for (const { method, path, type, body, answer } of steps) {
    const headers = { authorization: 'Bearer admin', 'content-type': type, 'user-agent': 'diff/1' };
    const response = await app.request(path, { method, headers, body: JSON.stringify(body) });
    expect(view(response.status, (await response.json()) as never), `${path} ${JSON.stringify(body)}`).toEqual(answer);
  }
});

/** What was recorded of an answer: times only as being there. */
function view(code: number, body: Resource & Record<string, unknown>) {
  if (body.kind === 'Status') {
    const { message, reason, details } = body;
    return { code, message, reason, details };
  }
  const { labels, finalizers: fin, ownerReferences: own, managedFields = [] } = body.metadata;
  const order = ({ operation, manager }: ManagedFieldsEntry) => `${operation}${manager}`;
  const mf = (managedFields as ManagedFieldsEntry[])
    .map((each) => ({ ...each, time: each.time !== undefined }))
    .sort((left, right) => (order(left as never) < order(right as never) ? -1 : 1));
  const { data, spec, secrets, imagePullSecrets: ips } = body;
  return { code, data, spec, secrets, ips, labels, fin, own, mf };
}
