import { expect, it } from 'vitest';
import { keptNode } from './node-metadata.ts';

it('keeps of a node what is read and short texts, and not what only its sender knows', () => {
  const node = {
    id: 'sidecar~10.0.0.1~a.default~x',
    cluster: 'a.default',
    metadata: {
      NAMESPACE: 'default',
      LABELS: { app: 'a' },
      ANNOTATIONS: { large: 'x' },
      TIER: 'gold',
      LONG: 'x'.repeat(200),
    },
    clientFeatures: ['tulle.answer-pages', 'other.feature'],
    userAgentName: 'tulle-node',
  };
  expect(keptNode(node)).toEqual({
    ...node,
    metadata: { NAMESPACE: 'default', LABELS: { app: 'a' }, TIER: 'gold' },
    clientFeatures: ['tulle.answer-pages'],
  });
  expect(keptNode({ id: 'x' })).toEqual({ id: 'x' });
});
