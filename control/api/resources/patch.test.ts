import { describe, expect, it } from 'vitest';
import { jsonPatch, strategicMergePatch } from './patch.ts';

describe('a JSON patch', () => {
  const copies = (times: number) =>
    Array.from({ length: times }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/x${i}` }));

  it('copies a value', () => {
    expect(jsonPatch({ a: {} }, copies(2))).toEqual({ a: { x0: {}, x1: { x0: {} } } });
  });

  it('does not copy more than so much in all', () => {
    expect(() => jsonPatch({ a: {} }, copies(30))).toThrow(expect.objectContaining({ code: 413 }));
    const text = 'x'.repeat(1024 * 1024);
    const many = Array.from({ length: 4 }, (_, i) => ({ op: 'copy', from: '/a', path: `/b${i}` }));
    expect(() => jsonPatch({ a: text }, many)).toThrow(expect.objectContaining({ code: 413 }));
  });

  it('makes nothing that is nested too deeply', () => {
    const nested = Array.from({ length: 200 }, (_, i) => ({ op: 'add', path: `/a${'/b'.repeat(i)}/b`, value: {} }));
    expect(() => jsonPatch({ a: {} }, nested)).toThrow(/nested deeper than 100 levels/);
  });
});

describe('a strategic merge of a list by its key', () => {
  const merge = (secrets: object[], patch: object[]) => strategicMergePatch({ secrets }, { secrets: patch });

  it('changes, adds and deletes', () => {
    const secrets = [{ name: 'a', old: true }, { name: 'b' }];
    const patch = [
      { name: 'b', $patch: 'delete' },
      { name: 'c' },
      { name: 'a', new: true },
      { name: 'b', again: true },
    ];
    expect(merge(secrets, patch)).toEqual({
      secrets: [{ name: 'a', old: true, new: true }, { name: 'c' }, { name: 'b', again: true }],
    });
  });

  it('takes time in proportion to the length', () => {
    const many = Array.from({ length: 100_000 }, (_, i) => ({ name: `n${i}` }));
    // With a search per entry these are 10^10 comparisons, far beyond the limit of a test.
    expect(merge(many, many)).toEqual({ secrets: many });
  });
});
