import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { ANNOTATION_EFFECTS, annotationsWithoutEffect } from './annotations.ts';

const file = new URL('../../../../shared/reference/istio-crds/annotations.yaml', import.meta.url);
const present = existsSync(file);
if (!present) console.log('skipped: the reference data is not here');

it.skipIf(!present)('has every annotation that Istio documents, and no other but its internal ones', () => {
  const { annotations } = parse(readFileSync(file, 'utf8')) as { annotations: { name: string }[] };
  const names = annotations.map(({ name }) => name);
  // istiod writes the last one itself.
  const internal = Object.keys(ANNOTATION_EFFECTS).filter(
    (name) => name.startsWith('internal.istio.io/') || name === 'proxy.istio.io/health-checks-enabled',
  );
  expect(Object.keys(ANNOTATION_EFFECTS).toSorted()).toEqual([...names, ...internal].toSorted());
});

it.each([
  ['Service', { 'networking.istio.io/exportTo': '.' }, []],
  ['ServiceEntry', { 'networking.istio.io/exportTo': '.' }, ['has an effect on Service only']],
  ['Service', { 'alpha.istio.io/kubernetes-serviceaccounts': 'a' }, []],
  ['Service', { 'alpha.istio.io/kubernetes-serviceaccounts': 'a,b' }, ['only its first account has an effect']],
  ['AuthorizationPolicy', { 'istio.io/dry-run': 'true' }, []],
  ['WorkloadEntry', { 'sidecar.istio.io/interceptionMode': 'NONE' }, [/node metadata/]],
  ['Service', { 'networking.istio.io/exportto': '.' }, [/no such annotation.*networking\.istio\.io\/exportTo/]],
  ['Service', { 'kubectl.kubernetes.io/last-applied-configuration': '{}', 'example.com/istio.io': 'a' }, []],
  ['Service', { 'istio.io/rev': 7, constructor: 'a', __proto__: 'a' }, []],
])('%s %j', (kind, annotations, wanted) => {
  const found = annotationsWithoutEffect(kind, annotations).map(({ message }) => message);
  expect(found).toEqual(wanted.map((text) => (typeof text === 'string' ? text : expect.stringMatching(text))));
});

it('of every annotation, a kind has it in force or is given a reason', () => {
  for (const [name, { inForceOn = [], reason }] of Object.entries(ANNOTATION_EFFECTS)) {
    expect(reason).not.toBe('');
    for (const kind of ['Service', 'WorkloadEntry', 'AuthorizationPolicy', 'Gateway', 'Namespace', 'Secret'])
      expect(annotationsWithoutEffect(kind, { [name]: 'a' })).toHaveLength(inForceOn.includes(kind) ? 0 : 1);
  }
});
