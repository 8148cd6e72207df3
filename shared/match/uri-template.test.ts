import { describe, expect, it } from 'vitest';
import { compileUriTemplate } from './uri-template.ts';

describe('URI templates', () => {
  it.each([
    ['/a/*', '/a/b', true],
    ['/a/*', '/a/', false],
    ['/a/*', '/a/b/c', false],
    ['/a/**', '/a/', true],
    ['/a/**', '/a/b/c', true],
    ['/a/{x}/c', '/a/b/c', true],
    ['/a/{x=**}', '/a/b/c', true],
    ['/a/{x=b/*}', '/a/b/c', true],
    ['/a/{x=b/*}', '/a/c/c', false],
    ['/{x}.json', '/1.json', true],
    ['/{x}.json', '/1.xml', false],
    ['/a.c', '/abc', false],
    ['/a/*', '/A/b', false],
    ['/a/*', '/a/b%20c', true],
    ['/a/*', '/a/b c', false],
  ])('%s and %s: %s', (template, path, matches) => {
    expect(compileUriTemplate(template).matches(path)).toBe(matches);
  });

  it.each([
    ['/t/{a}/{b=**}', '/new/{b}/{a}', '/t/1/2/3', '/new/2/3/1'],
    ['/{a}.json', '/as/{a}/twice/{a}', '/x.json', '/as/x/twice/x'],
    ['/*/x', '/plain', '/a/x', '/plain'],
  ])('%s rewritten by %s', (template, rewrite, path, result) => {
    expect(compileUriTemplate(template).rewriter(rewrite)(path)).toBe(result);
  });

  it.each([
    'a',
    '/a//b',
    '/{a',
    '/a}',
    '/{a{b}}',
    '/{1a}',
    '/{a}/{a}',
    '/**/b',
    '/**/*',
    '/a*',
    '/{a}{b}',
    '/{a=}',
    '/{a}*',
    '/a b',
    '/{a}/{b}/{c}/{d}/{e}/{f}',
  ])('refuses %s', (template) => expect(() => compileUriTemplate(template)).toThrow(RangeError));

  it.each(['new', '/{b}', '/{a', '//x', '/a b', '/\\1'])('refuses the rewrite %s', (rewrite) => {
    expect(() => compileUriTemplate('/{a}').rewriter(rewrite)).toThrow(RangeError);
  });
});
