/** Reading of the public reference data, which is not part of the repository. */
import { existsSync, readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { validate } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';

/** The folder of the data, which is beside the checkout. */
export const REFERENCE = new URL('../../../../shared/reference/', import.meta.url);

/** Whether `path` is there; where it is not, says that its tests are skipped. */
export function hasReference(path: string): boolean {
  const found = existsSync(new URL(path, REFERENCE));
  if (!found) console.info(`skipped: ${path} of the reference data is not present`);
  return found;
}

export function referenceJson<Value>(path: string): Value {
  return JSON.parse(readFileSync(new URL(path, REFERENCE), 'utf8')) as Value;
}

/** The documents of YAML text that are not empty. */
export function documentsOf(yaml: string): unknown[] {
  return parseAllDocuments(yaml)
    .map((document) => document.toJS() as unknown)
    .filter((item) => item !== null && item !== undefined);
}

/**
 * A resource as the API stores it.
 * @throws Error naming every violation
 */
export function admitted(value: unknown): Resource {
  const { resource, violations } = validate(value);
  if (resource) return resource;
  const text = violations.map(({ path, message }) => `${path}: ${message}`).join('; ');
  throw new Error(`${JSON.stringify(value).slice(0, 120)}: ${text}`);
}
