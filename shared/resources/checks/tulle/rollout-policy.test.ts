import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseDocuments } from '../../read/parse.ts';
import { validate } from '../../read/validate.ts';

const found = (spec: object) =>
  validate({
    apiVersion: 'tulle.dev/v1alpha1',
    kind: 'RolloutPolicy',
    metadata: { name: 'careful', namespace: 'shop' },
    spec,
  });
const lines = (list: readonly { path: string; message: string }[]) =>
  list.map(({ path, message }) => `${path}: ${message}`);

it.each([
  ['without anything', {}],
  ['steps that grow', { steps: [{ percent: 1 }, { percent: 1, duration: '30s' }, { percent: 100 }] }],
  ['labels, then percentages', { steps: [{ proxies: { matchLabels: { tier: 'canary' } } }, { percent: 50 }] }],
  ['kinds and namespaces', { kinds: ['VirtualService'], namespaces: ['shop'], selector: { matchLabels: { a: 'b' } } }],
])('is valid %s', (_, spec) => {
  const { violations, warnings } = found(spec);
  expect([...lines(violations), ...lines(warnings)]).toEqual([]);
});

it.each([
  ['no steps', { steps: [] }, 'spec.steps: must have at least 1 entries'],
  ['a step for no proxies', { steps: [{ duration: '5m' }] }, 'spec.steps[0]: one of percent, proxies must be set'],
  [
    'steps that shrink',
    { steps: [{ percent: 50 }, { percent: 10 }] },
    'spec.steps[1].percent: must be >= 50, that of a step before it',
  ],
  ['more than all', { steps: [{ percent: 101 }] }, 'spec.steps[0].percent: must be <= 100; found 101'],
  [
    'a short step',
    { steps: [{ percent: 1, duration: '1ms' }] },
    'spec.steps[0].duration: must be a duration of at least 1000ms',
  ],
  ['a kind twice', { kinds: ['Gateway', 'Gateway'] }, 'spec.kinds[1]: "Gateway" is named twice'],
  [
    'a kind that takes no part',
    { kinds: ['Service'] },
    /^spec\.kinds\[0\]: must be one of VirtualService, .*RequestAuthentication/,
  ],
  ['an empty selector', { selector: { matchLabels: {} } }, 'spec.selector.matchLabels: must have at least 1 entries'],
])('refuses %s', (_, spec, line) => {
  const violations = lines(found(spec).violations);
  expect(violations).toHaveLength(1);
  if (typeof line === 'string') expect(violations[0]).toBe(line);
  else expect(violations[0]).toMatch(line);
});

it('warns of security kinds, which are rolled out only where they are named', () => {
  const { violations, warnings } = found({ kinds: ['VirtualService', 'AuthorizationPolicy'] });
  expect(violations).toEqual([]);
  expect(lines(warnings)).toEqual([
    expect.stringMatching(/^spec\.kinds\[1\]: AuthorizationPolicy is a security policy: .*DENY/),
  ]);
});

it('the examples of docs/rollout.md are accepted', () => {
  const page = readFileSync(new URL('../../../../docs/rollout.md', import.meta.url), 'utf8');
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);
  expect(examples.length).toBeGreaterThan(0);
  for (const text of examples) {
    const { documents, errors } = parseDocuments(text, 'rollout.md');
    expect(errors).toEqual([]);
    for (const { value } of documents) expect(validate(value).violations).toEqual([]);
  }
});
