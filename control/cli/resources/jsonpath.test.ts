import { describe, expect, it } from 'vitest';
import { compileJsonPath } from './jsonpath.ts';

/** The object of kubectl's own documentation, shortened. */
const OBJECT = {
  kind: 'List',
  items: [
    {
      kind: 'None',
      metadata: { name: '127.0.0.1', labels: { 'kubernetes.io/hostname': 'one' } },
      status: { capacity: { cpu: '4' } },
    },
    { kind: 'None', metadata: { name: '127.0.0.2' }, status: { capacity: { cpu: '8' }, ready: true } },
  ],
  users: [
    { name: 'myself', user: {}, age: 4 },
    { name: 'e2e', user: { username: 'admin', password: 'secret' }, age: 9 },
  ],
};

describe('templates of kubectl', () => {
  it.each([
    ['{.kind}', 'List'],
    ["{['kind']}", 'List'],
    ['{$.kind}', 'List'],
    ['{.users[0].name}', 'myself'],
    ['{.users[-1].name}', 'e2e'],
    ['{.users[0:2].name}', 'myself e2e'],
    ['{.users[-2].name}', 'myself'],
    ['{.users[5].name}', ''],
    ['{..name}', '127.0.0.1 127.0.0.2 myself e2e'],
    ['{.items[*].metadata.name}', '127.0.0.1 127.0.0.2'],
    ["{.items[*]['metadata.name', 'status.capacity']}", '127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}'],
    ["{.items[0].metadata.labels['kubernetes\\.io/hostname']}", 'one'],
    ["{.users[*]['name', 'age']}", 'myself e2e 4 9'],
    ['{.users[?(@.name=="e2e")].user.password}', 'secret'],
    ['{.users[?(@.age>4)].name}', 'e2e'],
    ['{.items[?(@.status.ready)].metadata.name}', '127.0.0.2'],
    [
      '{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}',
      '[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] ',
    ],
    ['{range .items[*]}{.metadata.name}{"\\t"}{.status.capacity.cpu}{"\\n"}{end}', '127.0.0.1\t4\n127.0.0.2\t8\n'],
    ['{.items[0].metadata.labels.kubernetes\\.io/hostname}', 'one'],
    ['{range .users[*]}{$.kind}:{@.name} {end}', 'List:myself List:e2e '],
    ['kind is {.kind}', 'kind is List'],
    ['.kind', 'List'],
    ['kind', 'List'],
    ['{.absent}', ''],
    ['{.users[0].user}', '{}'],
  ])('%s', (template, expected) => {
    expect(compileJsonPath(template)(OBJECT)).toBe(expected);
  });

  it.each([
    ['{.kind', 'expected "}"'],
    ['{range .items[*]}x', '{range} without {end}'],
    ['{end}', '{end} without {range}'],
    ['{.a[}', 'expected a number'],
    ['{.a[?(@.b==)]}', 'unexpected ")"'],
    ['{"text}', 'no closing "'],
    ['{.a[0:3:0]}', 'step of a slice'],
    ['{#}', 'unexpected "#"'],
  ])('refuses %s by place', (template, message) => {
    expect(() => compileJsonPath(template)).toThrow(message);
  });

  it('ends for every short template', () => {
    const alphabet = ['{', '}', '.', '[', ']', '*', '"', "'", 'a', '0', ':', ',', '?(', ')', '@', '$', '\\', ' ', '=='];
    for (const a of alphabet)
      for (const b of alphabet)
        for (const c of alphabet) {
          try {
            compileJsonPath(`{${a}${b}${c}`)(OBJECT);
          } catch (error) {
            expect((error as Error).name).toBe('CliError');
          }
        }
  });
});

it('bounds what repeated recursive descents multiply', () => {
  const nested = (depth: number): unknown => (depth === 0 ? { name: 'x' } : { a: nested(depth - 1), name: 'x' });
  const deep = compileJsonPath(`{${'..a'.repeat(20)}}`);
  expect(() => deep(nested(60))).toThrow('-o jsonpath: the template selects more than 1000000 values');
  const filtered = compileJsonPath(
    '{..[?(@..name=="x")]..[?(@..name=="x")]..[?(@..name=="x")]..[?(@..name=="x")].name}',
  );
  expect(() => filtered(nested(60))).toThrow('more than 1000000 values');
});
