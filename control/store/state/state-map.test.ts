import { expect, it } from 'vitest';
import { checkStateKey, keyPart } from './state.ts';
import { StateMap } from './state-map.ts';

it('knows the newest write of a record, in whatever order writes arrive', () => {
  const map = new StateMap();
  const seen: unknown[] = [];
  map.onChange('joins', (changes) => seen.push(...changes.map(({ text }) => text)));
  map.take([{ key: 'joins/a', text: 'own', revision: 5 }]);
  map.take([{ key: 'joins/a', text: 'older, of another', revision: 4 }]);
  expect(map.get('joins/a')).toMatchObject({ text: 'own', revision: 5 });
  map.take([{ key: 'joins/a', text: undefined, revision: 7 }]);
  map.take([{ key: 'joins/a', text: 'between', revision: 6 }]);
  expect(map.get('joins/a')).toBeUndefined();
  map.take([{ key: 'joins/a', text: 'again', revision: 8 }]);
  map.take([{ key: 'tokens/b', text: 'elsewhere', revision: 9 }]);
  expect(seen).toEqual(['own', undefined, 'again']);
  expect(map.entries('joins')).toHaveLength(1);
});

it('refuses keys that would leave their folder, and makes parts of keys of any text', () => {
  for (const key of ['joins', 'joins/', '/a', 'a/../b\n', 'joins/a b'])
    expect(() => checkStateKey(key)).toThrow('no key');
  const part = keyPart('a/b ü%');
  checkStateKey(`joins/${part}`);
  expect(decodeURIComponent(part)).toBe('a/b ü%');
});
