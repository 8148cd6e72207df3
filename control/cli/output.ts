/** Tables, JSON and YAML for people and programs. */
import { escapeJson, escapeLines, escapeText } from '../../shared/log/escape.ts';
import { writeYaml } from '../../shared/resources/yaml/write.ts';
import { CliError } from './cli-error.ts';

export type OutputFormat = 'table' | 'json' | 'yaml';

const FORMATS = ['table', 'json', 'yaml'] as const;

/** @throws CliError naming the flag and what is allowed */
export function outputFormat<F extends OutputFormat = OutputFormat>(
  value: string | undefined,
  allowed: readonly F[] = FORMATS as readonly OutputFormat[] as readonly F[],
): F {
  const found = allowed.find((format) => format === value);
  if (found) return found;
  throw new CliError(`-o ${value}: must be one of ${allowed.join(', ')}`);
}

/** Columns padded as kubectl pads them: upper-case heads, three spaces between. Cells are text of others: they are escaped. */
export function table(heads: readonly string[], texts: readonly (readonly string[])[]): string {
  const rows = texts.map((row) => row.map(escapeText));
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i]! + 3)))
      .join('')
      .trimEnd();
  return [line(heads), ...rows.map(line)].join('\n');
}

export function print(format: OutputFormat, value: unknown, asTable: () => string): void {
  const text =
    format === 'json'
      ? escapeJson(JSON.stringify(value, null, 2))
      : format === 'yaml'
        ? writeYaml(value).trimEnd()
        : asTable();
  process.stdout.write(`${text}\n`);
}

/** A line, or some, on standard error; what others put into it is escaped. */
export function note(text: string): void {
  process.stderr.write(`${escapeLines(text)}\n`);
}

const onTerminal = process.stdout.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
const paint = (code: number) => (text: string) => (onTerminal ? `\u001b[${code}m${text}\u001b[0m` : text);
/** Colours, only on a terminal and without NO_COLOR. */
export const colour = {
  bold: paint(1),
  dim: paint(2),
  red: paint(31),
  green: paint(32),
  yellow: paint(33),
  cyan: paint(36),
};

/** `3d4h`, `5m`, `12s` since an RFC 3339 time, as kubectl's AGE. */
export function age(since: string | undefined, nowMs = Date.now()): string {
  if (!since) return '<unknown>';
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}
