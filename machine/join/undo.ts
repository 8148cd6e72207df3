/** What takes back the steps of a join that fails, the last one first. */

export class Undo {
  private readonly steps: { readonly what: string; readonly takeBack: () => Promise<unknown> }[] = [];

  /** @param what the noun of a report, as `user tulle` */
  add(what: string, takeBack: () => Promise<unknown>): void {
    this.steps.push({ what, takeBack });
  }

  /** Each step is taken back, whatever became of the others. @returns one line on each that could not be */
  async run(): Promise<string[]> {
    const failures: string[] = [];
    for (const { what, takeBack } of this.steps.splice(0).reverse()) {
      try {
        await takeBack();
      } catch (error) {
        failures.push(`${what} is left behind: ${(error as Error).message}`);
      }
    }
    return failures;
  }
}
