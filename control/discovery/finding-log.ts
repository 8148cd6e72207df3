/** The log of what compiling for sessions finds: each finding once, and again when it was gone and returns. */
import { type Finding, type FindingReason, findingText } from '../compile/output/finding.ts';

/** Findings that are remembered; further ones are not logged. */
const MAX_REMEMBERED = 1000;

/** What a finding means for requests. */
const CONSEQUENCES: { readonly [R in FindingReason]: string } = {
  RuleNotTranslated: ': requests that this rule matches are answered with 500',
  PolicyFailsClosed: '',
  RuleWithoutEffect: '',
  PatchLeftOut: '',
  FilterMissing: '',
  KeysNotAvailable: '',
  EndpointUnreachable: '',
  FieldWithoutEffect: '',
};

const NONE: ReadonlySet<string> = new Set();

export class FindingLog {
  private readonly log: (line: string) => void;
  /** By line: how many sessions have the finding. */
  private readonly sessions = new Map<string, number>();
  private readonly bySession = new WeakMap<object, { findings: readonly Finding[]; lines: ReadonlySet<string> }>();

  constructor(log: (line: string) => void) {
    this.log = log;
  }

  /** What is found for a session now, in the place of what was found before. The same array again costs nothing. */
  report(session: object, findings: readonly Finding[]): void {
    const before = this.bySession.get(session);
    if (before?.findings === findings || (!before && findings.length === 0)) return;
    const lines = new Set(findings.map(lineOf));
    const known = before?.lines ?? NONE;
    for (const line of lines) if (!known.has(line)) this.add(line);
    for (const line of known) if (!lines.has(line)) this.subtract(line, true);
    this.bySession.set(session, { findings, lines });
  }

  /** A session that ends resolves nothing: what it had is not logged again for the next one. */
  forget(session: object): void {
    for (const line of this.bySession.get(session)?.lines ?? NONE) this.subtract(line, false);
    this.bySession.delete(session);
  }

  private add(line: string): void {
    const count = this.sessions.get(line);
    if (count === undefined && !this.hasRoom()) return;
    this.sessions.set(line, (count ?? 0) + 1);
    if (count === undefined) this.log(line);
  }

  private subtract(line: string, isResolved: boolean): void {
    const count = this.sessions.get(line);
    if (count === undefined) return;
    if (count <= 1 && isResolved) this.sessions.delete(line);
    else this.sessions.set(line, Math.max(0, count - 1));
  }

  private hasRoom(): boolean {
    if (this.sessions.size < MAX_REMEMBERED) return true;
    for (const [line, count] of this.sessions) if (count === 0) this.sessions.delete(line);
    return this.sessions.size < MAX_REMEMBERED;
  }
}

const lineOf = (finding: Finding): string => `config: ${findingText(finding)}${CONSEQUENCES[finding.reason]}`;
