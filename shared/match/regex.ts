/**
 * Regular expressions with RE2 semantics (github.com/google/re2/wiki/Syntax): linear time, no look-around, no
 * back-references. Compiled once when config arrives; matching allocates nothing that config could make grow.
 */
import { RE2JS } from 're2js';
import { wireText } from './wire.ts';

/** Longest pattern accepted, in characters: no program of the size below needs a longer one. */
const MAX_PATTERN_LENGTH = 32_768;
/**
 * Largest compiled program accepted, in instructions: `(((a{100}){100}){100})` must not exhaust the memory. It is what Istio
 * sets as Envoy's `re2.max_program_size.error_level`. RE2 counts by bytes and this engine by characters, so a pattern
 * of many non-ASCII classes may be too large for Envoy alone.
 */
const MAX_PROGRAM_SIZE = 32_768;
const MAX_SUBSTITUTION_LENGTH = 4096;

/** A pattern or substitution that cannot be used; the message says why in one line. */
export class RegexError extends Error {
  override name = 'RegexError';
}

export interface RegexMatch {
  /** Offset of the first character and of the one after the last. */
  start: number;
  end: number;
  /** The whole match, then each group; a group that took no part is undefined. */
  groups: (string | undefined)[];
}

export interface Regex {
  readonly pattern: string;
  /** Does the whole text match? As Envoy's `safe_regex`. */
  matches(text: string): boolean;
  /**
   * The first match anywhere in the text. Two corners are not RE2's: `\B` does not match within the bytes of one
   * character, and which match a repeated group with an empty alternative takes (`(|a+)*`) may differ.
   */
  find(text: string): RegexMatch | undefined;
  /** Every match replaced, as Envoy's `regex_rewrite`: `\0` is the match, `\1`..`\9` its groups, `\\` a backslash. */
  replaceAll(text: string, substitution: string): string;
  /** `replaceAll` with the substitution read once. Throws RegexError when it names a group that the pattern does not have. */
  replacer(substitution: string): (text: string) => string;
}

/**
 * Compiles an RE2 pattern.
 * @throws RegexError when the pattern is not RE2 syntax or exceeds a limit
 */
export function compileRegex(pattern: string): Regex {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new RegexError(`pattern is longer than ${MAX_PATTERN_LENGTH} characters`);
  }
  return new CompiledRegex(pattern, compileProgram(pattern));
}

/** An escape with a number in braces; quoted text and other escapes are passed over. */
const NUMBERED = /\\(?:Q[\s\S]*?(?:\\E|$)|x\{([0-9A-Fa-f]+)\}|[\s\S])/g;

/**
 * Compiles a pattern for text in which each character is a byte, as Envoy reads `safe_regex` (RE2's Latin-1 mode, since
 * CVE-2026-73552): what is not ASCII in the pattern is its UTF-8 bytes, and `.` is one byte.
 * @throws RegexError as `compileRegex`, and where `\x{...}` is beyond a byte
 */
export function compileByteRegex(pattern: string): Regex {
  for (const [found, digits] of pattern.matchAll(NUMBERED))
    if (digits !== undefined && Number.parseInt(digits, 16) > 0xff)
      throw new RegexError(`invalid escape sequence ${found}: text is matched by bytes, up to \\x{ff}`);
  return compileRegex(wireText(pattern));
}

/** Why this pattern is refused, or undefined when it is fine. */
export function regexViolation(pattern: string): string | undefined {
  try {
    compileByteRegex(pattern);
    return undefined;
  } catch (error) {
    if (error instanceof RegexError) return error.message;
    throw error;
  }
}

function compileProgram(pattern: string): RE2JS {
  let program: RE2JS;
  try {
    program = compileNamed(pattern);
  } catch (error) {
    throw new RegexError(explain(pattern, error instanceof Error ? error.message : String(error)));
  }
  const size = program.programSize();
  if (size > MAX_PROGRAM_SIZE) {
    throw new RegexError(`pattern is too large: ${size} instructions, at most ${MAX_PROGRAM_SIZE}`);
  }
  return program;
}

/** RE2 lets groups share a name, which this engine does not; no caller reads groups by name, so they may be renamed. */
function compileNamed(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('duplicate capture group'))) throw error;
    return RE2JS.compile(withDistinctNames(pattern));
  }
}

/** Text that is not a group, left unchanged: escapes, `\Q…\E`, character classes (a `]` that comes first is one of the class). */
const NAMES = /\\Q[\s\S]*?(?:\\E|$)|\\[\s\S]|\[\^?\]?(?:\\[\s\S]|\[:\^?\w+:\]|[^\]\\])*\]|(\(\?P?<)(\w+)>/g;

function withDistinctNames(pattern: string): string {
  let count = 0;
  return pattern.replace(NAMES, (all: string, open?: string, name?: string) =>
    open === undefined ? all : `${open}${name}_${count++}>`,
  );
}

/** Syntax of other regex dialects, by the text in the engine's error. */
const FOREIGN: readonly [RegExp, string][] = [
  [/`\(\?<?[=!]/, 'look-around is'],
  [/invalid escape sequence: `\\(?:[1-9]|[gk])/, 'back-references are'],
  [/`\(\?>/, 'atomic groups are'],
  [/`\(\?\(/, 'conditionals are'],
  [/`\(\?#/, 'comments are'],
  [/`\(\?(?:R|[0-9]|[+-][0-9]|&|P>)/, 'recursion is'],
  [/invalid nested repetition operator: `[^`]*\+`/, 'possessive repetition is'],
  [/invalid escape sequence: `\\C/, 'matching single bytes (\\C) is'],
  [/invalid escape sequence: `\\[GKRXhHNZ]/, 'this escape is'],
];

/** The engine's message; syntax of other dialects is named. */
function explain(pattern: string, message: string): string {
  const reason = message.replace(/^error parsing regexp: /, '');
  const foreign = FOREIGN.find(([text]) => text.test(reason));
  if (reason.endsWith('`(?P`') && pattern.includes('(?P='))
    return `back-references are not supported (RE2 syntax): (?P=`;
  if (foreign) return `${foreign[1]} not supported (RE2 syntax): ${reason}`;
  return `not a valid RE2 regular expression: ${reason}${pattern === '*' ? ' (did you mean ".*"?)' : ''}`;
}

/** A pattern that string comparison can answer. */
function plainMatcher(pattern: string): ((text: string) => boolean) | undefined {
  const parts = /^(\.\*)?((?:[\w\-/:@%=&,;<>~ "'!#]|\\[.\-/])*)(\.\*)?$/.exec(pattern);
  if (!parts) return undefined;
  const literal = (parts[2] ?? '').replaceAll('\\', '');
  const open = parts[1] !== undefined;
  const close = parts[3] !== undefined;
  // `.` does not match a line feed, so a text with one is outside what the comparisons below decide.
  if (open && close) return literal === '' ? undefined : (text) => text.includes(literal) && !text.includes('\n');
  if (open) return (text) => text.endsWith(literal) && !text.includes('\n');
  if (close) return (text) => text.startsWith(literal) && !text.includes('\n');
  return (text) => text === literal;
}

class CompiledRegex implements Regex {
  readonly pattern: string;
  readonly matches: (text: string) => boolean;
  readonly #program: RE2JS;
  #last: { substitution: string; replace: (text: string) => string } | undefined;

  constructor(pattern: string, program: RE2JS) {
    this.pattern = pattern;
    this.#program = program;
    this.matches = plainMatcher(pattern) ?? ((text) => program.testExact(text));
  }

  find(text: string): RegexMatch | undefined {
    const matcher = this.#program.matcher(text);
    if (!matcher.find()) return undefined;
    const groups: (string | undefined)[] = [];
    for (let i = 0; i <= matcher.groupCount(); i++) groups.push(matcher.group(i) ?? undefined);
    return { start: matcher.start(), end: matcher.end(), groups };
  }

  replaceAll(text: string, substitution: string): string {
    if (this.#last?.substitution !== substitution) {
      this.#last = { substitution, replace: this.replacer(substitution) };
    }
    return this.#last.replace(text);
  }

  replacer(substitution: string): (text: string) => string {
    const parts = parseSubstitution(substitution, this.#program.groupCount());
    return (text) => {
      const matcher = this.#program.matcher(text);
      let out = '';
      let end = -1;
      let copied = 0;
      while (matcher.find()) {
        // As RE2::GlobalReplace: no empty match right behind the previous one.
        if (matcher.start() === matcher.end() && matcher.start() === end) continue;
        out += text.slice(copied, matcher.start());
        for (const part of parts) out += typeof part === 'string' ? part : (matcher.group(part) ?? '');
        copied = end = matcher.end();
      }
      return end < 0 ? text : out + text.slice(copied);
    };
  }
}

/** Literals and group numbers, in order. */
function parseSubstitution(substitution: string, groupCount: number): (string | number)[] {
  if (substitution.length > MAX_SUBSTITUTION_LENGTH) {
    throw new RegexError(`substitution is longer than ${MAX_SUBSTITUTION_LENGTH} characters`);
  }
  const parts: (string | number)[] = [];
  let literal = '';
  for (let i = 0; i < substitution.length; i++) {
    const char = substitution.charAt(i);
    if (char !== '\\') {
      literal += char;
      continue;
    }
    const next = substitution.charAt(++i);
    if (next === '\\') literal += '\\';
    else if (/^[0-9]$/.test(next)) {
      if (Number(next) > groupCount)
        throw new RegexError(`substitution names group \\${next}: the pattern has ${groupCount}`);
      if (literal !== '') parts.push(literal);
      literal = '';
      parts.push(Number(next));
    } else throw new RegexError('substitution: a backslash must be followed by a digit or a backslash');
  }
  if (literal !== '') parts.push(literal);
  return parts;
}
