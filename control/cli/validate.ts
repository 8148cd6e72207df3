/** `tulle validate`: schema and semantic validation, offline. */
import type { Fault } from '../../shared/resources/resource.ts';
import { notCompiled } from '../compile/node/not-compiled.ts';
import { colour, type OutputFormat, print, table } from './output.ts';
import { type CheckedDocument, headOf, inspectSources, objectKey } from './sources.ts';

interface Source {
  file: string;
  /** Both from 1. */
  line: number;
  column: number;
}

interface Finding {
  path: string;
  message: string;
  rule: string;
  /** Where the faulty field stands. */
  source: Source;
}

export interface ValidateReport {
  valid: boolean;
  resources: {
    kind: string;
    namespace: string;
    name: string;
    source: Source;
    faults: Finding[];
    warnings: Finding[];
  }[];
}

/**
 * Validates every document of the paths and prints the report.
 * @returns the exit code: 1 when any resource is invalid
 * @throws CliError when a path cannot be read
 */
export async function runValidate(paths: readonly string[], options: { output: OutputFormat }): Promise<number> {
  const report = await validateSources(paths);
  print(options.output, report, () => describe(report));
  return report.valid ? 0 : 1;
}

/** The report alone. Each document is judged on its own; an object that stands twice gets a warning. */
export async function validateSources(paths: readonly string[]): Promise<ValidateReport> {
  const documents = await inspectSources(paths);
  const first = new Map<string, CheckedDocument>();
  const resources = documents.map((document) => {
    const warnings = [...document.warnings];
    if (document.kind && document.resource) {
      warnings.push(...notCompiled(document.resource));
      const key = objectKey(document.kind, document.resource);
      const earlier = first.get(key);
      if (earlier) warnings.push(duplicate(earlier));
      else first.set(key, document);
    }
    const { kind = '', metadata = {} } = headOf(document.value);
    return {
      kind,
      namespace: metadata.namespace || (document.kind?.namespaced ? 'default' : ''),
      name: metadata.name ?? '',
      source: { file: document.file, line: document.line, column: document.column },
      faults: document.faults.map((fault) => finding(document, fault)),
      warnings: warnings.map((warning) => finding(document, warning)),
    };
  });
  return { valid: resources.every((resource) => resource.faults.length === 0), resources };
}

function finding(document: CheckedDocument, fault: Fault): Finding {
  const { path, message, rule } = fault;
  const { line, column } = document.positionOf(fault);
  return { path, message, rule, source: { file: document.file, line, column } };
}

function duplicate(earlier: CheckedDocument): Fault {
  return {
    path: '',
    message: `the same object is in ${earlier.file}:${earlier.line} already: the last one wins`,
    rule: 'duplicate-object',
  };
}

function describe(report: ValidateReport): string {
  if (report.resources.length === 0) return 'nothing to validate';
  const rows = report.resources.map(({ kind, namespace, name, source, faults, warnings }) => {
    const warned = warnings.length > 0 ? `, ${count(warnings.length, 'warning')}` : '';
    const state = faults.length > 0 ? `${count(faults.length, 'fault')}${warned}` : `valid${warned}`;
    return [kind || '?', namespace || '-', name || '?', `${source.file}:${source.line}`, state];
  });
  const details = report.resources.flatMap(({ kind, name, faults, warnings }) => {
    const what = kind ? `${kind} ${name}: ` : '';
    const line = (mark: string, { path, message, source: { file, line, column } }: Finding) =>
      `${mark} ${file}:${line}:${column}: ${what}${path === '' ? '' : `${path}: `}${message}`;
    return [
      ...faults.map((fault) => line(colour.red('fault'), fault)),
      ...warnings.map((warning) => line(colour.yellow('warning'), warning)),
    ];
  });
  const invalid = report.resources.filter((resource) => resource.faults.length > 0).length;
  const summary = report.valid
    ? `${count(report.resources.length, 'resource')}, all valid`
    : `${invalid} of ${count(report.resources.length, 'resource')} invalid`;
  return [
    table(['KIND', 'NAMESPACE', 'NAME', 'SOURCE', 'RESULT'], rows),
    '',
    ...details,
    ...(details.length ? [''] : []),
    summary,
  ].join('\n');
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
