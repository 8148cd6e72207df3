import { expect, it } from 'vitest';
import { type CheckHeaders, checkHeaders } from './compile-check-headers.ts';

const base = [
  ['user-agent', 'Envoy/HC'],
  ['te', 'trailers'],
] as const;
type Option = NonNullable<CheckHeaders['add']>[number];
type Action = Option['appendAction'];
const option = (key: string, value: string, appendAction?: Action, more: Partial<Option> = {}): Option => ({
  header: { key, value },
  ...(appendAction && { appendAction }),
  ...more,
});
const fields = (add: Option[], remove: string[] = [], http2 = true) =>
  checkHeaders({ base, add, remove, http2 }, 'metadata').map((field) => field.join('='));

it.each<[string, Option[], string[], string[]]>([
  ['nothing', [], [], ['user-agent=Envoy/HC', 'te=trailers']],
  ['fields are added', [option('A', '1'), option('a', '2')], ['te'], ['user-agent=Envoy/HC', 'a=1', 'a=2']],
  ['to one of the base', [option('User-Agent', 'x')], ['TE'], ['user-agent=Envoy/HC,x']],
  ['after removal', [option('b', 'c')], ['user-agent', 'te'], ['b=c']],
  ['or replace it', [option('user-agent', 'x', 'OVERWRITE_IF_EXISTS_OR_ADD')], ['te'], ['user-agent=x']],
  ['in the old way', [option('user-agent', 'x', undefined, { append: false })], ['te'], ['user-agent=x']],
  ['or what is there', [option('a', '1', 'OVERWRITE_IF_EXISTS')], ['te', 'user-agent'], []],
  [
    'or is not there',
    [option('a', '1', 'ADD_IF_ABSENT'), option('a', '2', 'ADD_IF_ABSENT')],
    ['te', 'user-agent'],
    ['a=1'],
  ],
  [
    'not what is empty',
    [option('a', ''), option('b', '', undefined, { keepEmptyValue: true })],
    ['te', 'user-agent'],
    ['b='],
  ],
  ['as bytes, without blanks around it', [option('a', ' é%% ')], ['te', 'user-agent'], ['a=Ã©%']],
])('%s', (_, add, remove, wanted) => {
  expect(fields(add, remove)).toEqual(wanted);
});

it('names keep their case for HTTP/1.1', () => {
  expect(fields([option('X-A', '1')], ['te', 'user-agent'], false)).toEqual(['X-A=1']);
  expect(fields([option('Connection', 'close')], ['te', 'user-agent'], false)).toEqual(['Connection=close']);
});

it.each([
  [':path', 'x'],
  ['host', 'x'],
  ['a b', 'x'],
  ['é', 'x'],
  ['a', 'x\r\nb: c'],
  ['a', '%DOWNSTREAM_LOCAL_ADDRESS%'],
  ['a', '100%'],
  ['content-length', '1'],
  ['Transfer-Encoding', 'chunked'],
  ['te', 'gzip'],
  ['connection', 'close'],
])('refused: %s: %j', (key, value) => {
  expect(() => fields([option(key, value)])).toThrow(expect.objectContaining({ path: 'metadata[0]' }));
});
