/** Regular expressions by chance, each with texts that have a fair chance to match it. */
import type { Random } from './random.ts';

export interface Generated {
  pattern: string;
  /** A text that follows the pattern's shape. */
  text: () => string;
}

const LITERALS = 'aaabbcABC01 -_/:@é☺ſK𝒳\n'.match(/./gsu) ?? [];
const CLASSES: readonly [string, string][] = [
  ['.', 'ab0é☺'],
  ['\\d', '0123'],
  ['\\D', 'ab☺'],
  ['\\w', 'ab_0'],
  ['\\W', ' -é'],
  ['\\s', ' \t\n\v'],
  ['\\S', 'a0é'],
  ['[abc]', 'abc'],
  ['[^abc]', 'd0é\n'],
  ['[a-c0-9]', 'ab07'],
  ['[^\\d]', 'ab'],
  ['[\\w.-]', 'a.-'],
  ['[]a]', ']a'],
  ['[^]a]', 'b'],
  ['[a-]', 'a-'],
  ['[[:alpha:]]', 'aZ'],
  ['[[:^digit:]_]', 'a_'],
  ['[[:word:]]', 'a_'],
  ['\\pL', 'aé'],
  ['\\PL', '0 '],
  ['\\p{Greek}', 'αβ'],
  ['\\p{^Greek}', 'ab'],
  ['[\\p{Lu}\\s]', 'A '],
  ['\\x41', 'A'],
  ['\\x{263a}', '☺'],
  ['\\101', 'A'],
  ['\\t', '\t'],
  ['\\.', '.'],
  ['\\/', '/'],
  ['\\a', '\x07'],
  ['[α-ω]', 'αω'],
  ['[^a]', 'b\n'],
  ['\\Qa.b\\E', 'a'],
  ['[\\x{1F600}-\\x{1F64F}]', '😀'],
];
const ASSERTIONS = ['^', '$', '\\A', '\\z', '\\b', '\\B'];
/** What other dialects have, what RE2 alone has, and what is broken. */
const ODD = [
  '(?=a)',
  '(?!a)',
  '(?<=a)',
  '(?<!a)',
  '(?>a)',
  '\\1',
  '(?P=n)',
  '(?#c)',
  'a*+',
  'a++',
  'a?+',
  'a**',
  'a{2}{3}',
  'a{2}*',
  '\\Z',
  '\\G',
  '\\K',
  '\\R',
  '\\h',
  '\\H',
  '\\X',
  '\\u0041',
  '\\cA',
  '\\8',
  '\\e',
  '\\N',
  '\\pX',
  '\\p{Foo}',
  '[[:foo:]]',
  '[b-a]',
  '[a',
  ']',
  ')',
  '(',
  '*',
  '+',
  '?',
  '{',
  '}',
  '{1',
  'a{,2}',
  'a{1001}',
  'a{1000}',
  'a{2,1}',
  '(a{100}){100}',
  '(?i',
  '(?z)',
  '(?P<n>a)(?P<n>b)',
  '(?P<1n>a)',
  '(?<n>a)',
  '(?<n-m>a)',
  '(?P<>a)',
  '\\',
  '\\C',
  '\\x{110000}',
  '\\xZZ',
  '\\x{}',
  '[\\C]',
  '[\\b]',
  '[^\\S\\s]',
  '(?i)ſ',
  '(?i)K',
  '\\_',
  '\\-',
  '\\"',
  '(?',
  '(?:',
  '(?P',
  '(?P<',
  '[',
  '[]',
  '[^]',
  '[a-\\d]',
  '[\\d-z]',
  '[a--]',
  '(|a)',
  '(a|)',
  '()',
  '(?:)*',
  '(?i:A)',
  '(?s-i:.)',
  '(?m)^a$',
  '(?U)a+',
  '\\pN+',
  '\\p{',
  '\\p',
  '(?-)',
  '(?i-)',
  '(?--i)',
  '^*',
  '$*',
  '\\b+',
  '(^)*',
  '\\E',
  '\\Q',
  '\\Qab',
  'a|*',
  '|',
  '||',
  '(?:a|b)|c',
  '\\07',
  '\\012',
  '\\08',
  '\\0',
  '\\400',
  '\\777',
  '\\1000',
  'x{0}',
  'x{0,0}',
  'x{1,1}',
  '(?s).',
  '[[:alpha:][:^digit:]]',
  '[[.a.]]',
  '[[=a=]]',
  '[[:alpha]',
  '\\p{Latin}',
  '\\p{latin}',
  '\\p{L}',
  '\\p{Any}',
  '\\pLu',
  '\\p{IsGreek}',
  '\\p{ASCII}',
  '\\p{Script=Greek}',
  '[\\p{Greek}-z]',
];

export function generate(random: Random): Generated {
  const made = random.chance(0.05) ? plain(random) : alternation(random, 3);
  const flags = random.chance(0.15) ? random.pick(['(?i)', '(?s)', '(?m)', '(?U)', '(?is)', '(?i-s)', '(?sm)']) : '';
  const pattern = flags + made.pattern;
  return random.chance(0.12) ? { ...made, pattern: damaged(random, pattern) } : { ...made, pattern };
}

/** `.*text.*` and its like, which need no engine. */
function plain(random: Random): Generated {
  const text = Array.from({ length: random.below(4) }, () => random.pick(LITERALS)).join('');
  const ends = [random.chance(0.5), random.chance(0.5)];
  const around = () => random.pick(['', 'a', '\n', 'b☺']);
  return {
    pattern: `${ends[0] ? '.*' : ''}${text}${ends[1] ? '.*' : ''}`,
    text: () => (ends[0] ? around() : '') + text + (ends[1] ? around() : ''),
  };
}

/** A pattern with a character lost, doubled or replaced: whether it still compiles is the question. */
function damaged(random: Random, pattern: string): string {
  const chars = [...pattern];
  const at = random.below(chars.length + 1);
  const how = random.below(3);
  if (how === 0) chars.splice(at, 1);
  else
    chars.splice(
      at,
      how - 1,
      random.pick(['(', ')', '[', ']', '{', '}', '*', '+', '?', '\\', '|', '^', '$', '-', ',', '1', ':', '<', 'P']),
    );
  return chars.join('');
}

function alternation(random: Random, depth: number): Generated {
  const branches = Array.from({ length: random.chance(0.25) ? 2 + random.below(3) : 1 }, () => sequence(random, depth));
  return { pattern: branches.map((branch) => branch.pattern).join('|'), text: () => random.pick(branches).text() };
}

function sequence(random: Random, depth: number): Generated {
  const parts = Array.from({ length: random.below(5) }, () => repeated(random, depth));
  return { pattern: parts.map((part) => part.pattern).join(''), text: () => parts.map((part) => part.text()).join('') };
}

function repeated(random: Random, depth: number): Generated {
  const part = atom(random, depth);
  if (!random.chance(0.35)) return part;
  const low = random.below(3);
  const high = low + random.below(3);
  const [operator, least, most] = random.pick<[string, number, number]>([
    ['*', 0, 4],
    ['+', 1, 4],
    ['?', 0, 1],
    [`{${low}}`, low, low],
    [`{${low},}`, low, low + 3],
    [`{${low},${high}}`, low, high],
  ]);
  const lazy = random.chance(0.2) ? '?' : '';
  const times = () => least + random.below(most - least + 1);
  return { pattern: part.pattern + operator + lazy, text: () => Array.from({ length: times() }, part.text).join('') };
}

function atom(random: Random, depth: number): Generated {
  const choice = random.next();
  if (choice < 0.45) {
    const char = random.pick(LITERALS);
    return { pattern: char, text: () => char };
  }
  if (choice < 0.7) {
    const [pattern, examples] = random.pick(CLASSES);
    const chars = [...examples];
    return { pattern, text: () => random.pick(chars) };
  }
  if (choice < 0.75) return { pattern: random.pick(ASSERTIONS), text: () => '' };
  if (choice < 0.79) return { pattern: random.pick(ODD), text: () => random.pick(['', 'a', 'aa']) };
  if (depth === 0) return { pattern: 'a', text: () => 'a' };
  const inner = alternation(random, depth - 1);
  const open = random.pick(['(', '(', '(?:', '(?i:', '(?s:', '(?-s:', '(?U:', '(?P<n>']);
  return { pattern: `${open}${inner.pattern})`, text: inner.text };
}

/** Texts for a pattern: some that follow its shape, some of those damaged, some of pure chance. */
export function textsFor(random: Random, generated: Generated, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    if (i % 4 === 3) return Array.from({ length: random.below(6) }, () => random.pick(LITERALS)).join('');
    const text = generated.text();
    if (i % 4 !== 2) return text;
    const chars = [...text];
    chars.splice(random.below(chars.length + 1), random.below(2), random.pick(LITERALS));
    return chars.join('');
  });
}
