import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Metrics } from '../../shared/metrics/metrics.ts';
import { AuditLog, type AuditMode, auditCounters } from './audit-log.ts';
import { EVERYTHING } from './audit-policy.ts';
import { type AuditEvent, auditEvent, type RequestFacts } from './event.ts';
import { type AuditSink, isLogFile, LogFile } from './log-file.ts';

const root = mkdtempSync(join(tmpdir(), 'tulle-audit-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'a-'));
  path = join(folder, 'audit.log');
});

const KEEP_ALL = { maxBytes: 0, maxBackups: 0, maxDays: 0 };
const facts: RequestFacts = {
  auditID: 'id',
  uri: '/api/v1/secrets',
  attributes: { verb: 'create', group: '', resource: 'secrets', subresource: '', namespace: 'default', name: 'a' },
  version: 'v1',
  user: { username: 'jane', groups: ['system:authenticated'] },
  impersonated: undefined,
  address: '192.0.2.1',
  userAgent: 'kubectl',
  received: Date.UTC(2026, 0, 31) + 0.25,
};
const event = (id = 'id'): AuditEvent =>
  auditEvent({ ...facts, auditID: id }, 'ResponseComplete', facts.received + 1.5, { code: 201, annotations: {} });

describe('an event', () => {
  it('has the fields of audit.k8s.io/v1', () => {
    expect(event()).toEqual({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: 'id',
      stage: 'ResponseComplete',
      requestURI: '/api/v1/secrets',
      verb: 'create',
      user: { username: 'jane', groups: ['system:authenticated'] },
      sourceIPs: ['192.0.2.1'],
      userAgent: 'kubectl',
      objectRef: { resource: 'secrets', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { metadata: {}, code: 201 },
      requestReceivedTimestamp: '2026-01-31T00:00:00.000250Z',
      stageTimestamp: '2026-01-31T00:00:00.001750Z',
      annotations: { 'apiserver.latency.k8s.io/total': '1.500ms' },
    });
  });

  it('quotes nothing of a refused Secret', () => {
    const refusal = { reason: 'Invalid', message: 'data.key: Invalid value: "hunter2"' };
    const of = (resource: string, code: number) =>
      auditEvent({ ...facts, attributes: { ...facts.attributes, resource } as never }, 'ResponseComplete', 0, {
        code,
        refusal,
        annotations: {},
      }).responseStatus;
    expect(of('secrets', 422)).toEqual({ metadata: {}, status: 'Failure', reason: 'Invalid', code: 422 });
    expect(of('services', 422)?.message).toContain('hunter2');
  });
});

describe('the file', () => {
  it('is closed to others, and appended to', async () => {
    writeFileSync(path, 'before\n', { mode: 0o600 });
    const file = await LogFile.open({ path, rotation: KEEP_ALL });
    await file.write('a\n');
    await file.close();
    expect(readFileSync(path, 'utf8')).toBe('before\na\n');
    const other = join(folder, 'new.log');
    await (await LogFile.open({ path: other, rotation: KEEP_ALL })).close();
    expect(statSync(other).mode & 0o777).toBe(0o600);
  });

  it('is rotated by size; the newest files are kept', async () => {
    let now = Date.UTC(2026, 0, 1);
    const file = await LogFile.open({
      path,
      rotation: { maxBytes: 10, maxBackups: 2, maxDays: 0 },
      now: () => (now += 1000),
    });
    for (const line of ['first..\n', 'second.\n', 'third..\n', 'fourth.\n', 'fifth..\n']) await file.write(line);
    await file.close();
    const names = readdirSync(folder).sort();
    expect(names).toEqual(['audit-2026-01-01T00-00-05.000.log', 'audit-2026-01-01T00-00-07.000.log', 'audit.log']);
    expect(names.map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual([
      'third..\n',
      'fourth.\n',
      'fifth..\n',
    ]);
    for (const name of names) expect(isLogFile(path, name)).toBe(true);
    for (const name of ['audit-old.log', 'audit.log.1', 'ca']) expect(isLogFile(path, name)).toBe(false);
  });

  it('of a rotated file the age is limited; other files stay', async () => {
    for (const name of ['audit-2025-01-01T00-00-00.000.log', 'audit-old.log']) writeFileSync(join(folder, name), '');
    const file = await LogFile.open({
      path,
      rotation: { maxBytes: 1, maxBackups: 0, maxDays: 30 },
      now: () => Date.UTC(2026, 0, 1),
    });
    await file.write('a\n');
    await file.write('b\n');
    await file.close();
    expect(readdirSync(folder).sort()).toEqual(['audit-2026-01-01T00-00-00.000.log', 'audit-old.log', 'audit.log']);
  });

  it('that cannot be rotated is written all the same, and the reason reported', async () => {
    const errors: unknown[] = [];
    const file = await LogFile.open({
      path,
      rotation: { maxBytes: 1, maxBackups: 0, maxDays: 0 },
      now: () => Date.UTC(2026, 0, 1),
      onRotationError: (error) => void errors.push(error),
    });
    await file.write('a\n');
    mkdirSync(join(folder, 'audit-2026-01-01T00-00-00.000.log'));
    await file.write('b\n');
    expect(String(errors[0])).toContain('EISDIR');
    expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
    // Of one that another program has moved another is begun.
    renameSync(path, `${path}.moved`);
    await file.write('c\n');
    await file.close();
    expect(readFileSync(path, 'utf8')).toBe('c\n');
  });

  it('must be a regular file', async () => {
    await expect(LogFile.open({ path: '/dev/null', rotation: KEEP_ALL })).rejects.toThrow('is not a regular file');
    await expect(LogFile.open({ path: join(folder, 'absent/a.log'), rotation: KEEP_ALL })).rejects.toThrow('ENOENT');
  });
});

describe('the log', () => {
  function logOf(sink: AuditSink, mode: AuditMode = 'blocking') {
    const metrics = new Metrics();
    const lines: string[] = [];
    const log = new AuditLog({
      sink,
      mode,
      policy: EVERYTHING,
      counters: auditCounters(metrics),
      log: (line) => void lines.push(line),
    });
    return { log, lines, metrics };
  }
  const sink = (write: AuditSink['write']): AuditSink => ({ write, reopen: async () => {}, close: async () => {} });

  it('writes what comes together at once, in order', async () => {
    const writes: string[] = [];
    const { log } = logOf(sink(async (lines) => void writes.push(lines)));
    expect(await Promise.all(['a', 'b', 'c'].map((id) => log.add(event(id))))).toEqual([true, true, true]);
    expect(writes).toHaveLength(1);
    expect(
      writes[0]!
        .split('\n')
        .slice(0, 3)
        .map((line) => JSON.parse(line).auditID),
    ).toEqual(['a', 'b', 'c']);
    await log.close();
  });

  it('opens the file again that was moved', async () => {
    const { log } = logOf(await LogFile.open({ path, rotation: KEEP_ALL }));
    await log.add(event('a'));
    renameSync(path, `${path}.1`);
    log.reopen();
    await log.add(event('b'));
    await log.close();
    expect(JSON.parse(readFileSync(`${path}.1`, 'utf8')).auditID).toBe('a');
    expect(JSON.parse(readFileSync(path, 'utf8')).auditID).toBe('b');
  });

  it('reports and counts what is not written, and writes again when it can', async () => {
    let full = true;
    const writes: string[] = [];
    const { log, lines, metrics } = logOf(
      sink(async (text) => {
        if (full) throw new Error('ENOSPC: no space left on device, write');
        writes.push(text);
      }),
    );
    expect(await Promise.all([log.add(event()), log.add(event())])).toEqual([false, false]);
    expect(lines).toEqual(['audit log: 2 events are not written: ENOSPC: no space left on device, write']);
    expect(metrics.expose()).toContain('apiserver_audit_error_total{plugin="log"} 2');
    full = false;
    expect(await log.add(event())).toBe(true);
    expect(writes).toHaveLength(1);
    await log.close();
  });

  it('of mode batch waits for no disk, and drops what is too much', async () => {
    const disk = Promise.withResolvers<void>();
    let written = 0;
    const { log, metrics } = logOf(
      sink(async (text) => {
        await disk.promise;
        written += text.split('\n').length - 1;
      }),
      'batch',
    );
    const added = await Promise.all(Array.from({ length: 10_010 }, () => log.add(event())));
    expect(added.filter((each) => !each)).toHaveLength(10);
    expect(metrics.expose()).toContain('apiserver_audit_error_total{plugin="log"} 10');
    disk.resolve();
    await log.close();
    expect(written).toBe(10_000);
    expect(await log.add(event())).toBe(false);
  });
});
