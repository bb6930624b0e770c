/** The work of one sampling step may not grow unnoticed: counts need no quiet machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { countWork } from '../../lib/native.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';
import { countClip, countStep, type StepWork } from '../support/step-work.ts';

/** What a step took when this was last looked at. A change that takes less lowers these numbers with it. */
const LIMITS = {
  guided: { operators: 5_823, bytes: 35_045_052 },
  unguided: { operators: 5_806, bytes: 18_049_644 },
} as const;

/** Below this part of a limit, the limit is out of date. */
const TIGHT = 0.97;

const GUIDANCE = { guided: 7.5, unguided: 1 } as const;

/** In a process that uses no AVX-512, which most laptops do not have; LibTorch and oneDNN read these when they start. */
function countStepWithAvx2(guidanceScale: number): StepWork {
  const script = fileURLToPath(import.meta.resolve('../support/step-work.ts'));
  const env = { ...process.env, ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2' };
  const args = ['--import', 'tsx', script, String(guidanceScale)];
  return JSON.parse(execFileSync(process.execPath, args, { env, encoding: 'utf8' })) as StepWork;
}

function checkLimits(found: StepWork, limit: StepWork, name: string): void {
  for (const key of ['operators', 'bytes'] as const) {
    console.log(`${name}: ${found[key]} ${key}`);
    assert.ok(found[key] <= limit[key], `${found[key]} ${key}, at most ${limit[key]} so far`);
    assert.ok(found[key] >= TIGHT * limit[key], `${found[key]} ${key}: lower the limit of ${limit[key]}`);
  }
}

describe('one sampling step of the tiny model', () => {
  for (const name of ['guided', 'unguided'] as const) {
    it(`takes no more operators and memory than it did, ${name}`, async () => {
      checkLimits(await countStep(GUIDANCE[name]), LIMITS[name], name);
    });

    // oneDNN would bring weights that are packed for other pictures into order at every call.
    it(`takes no more without AVX-512, ${name}`, () => {
      checkLimits(countStepWithAvx2(GUIDANCE[name]), LIMITS[name], `${name}, AVX2`);
    });
  }

  it('is far less work where features are reused', async () => {
    await using pipe = await loadTiny();
    await pipe.generate(SMALL);
    const exact = await countClip(pipe, { steps: 3, guidanceScale: 7.5 });
    const reused = await countClip(pipe, { steps: 3, guidanceScale: 7.5, deepCache: 3 });
    assert.ok(
      reused.operators < 0.6 * exact.operators,
      `${reused.operators} of ${exact.operators} operators`,
    );
  });

  it('is counted only when that was asked for', async () => {
    await using pipe = await loadTiny();
    countWork(false);
    await pipe.generate(SMALL);
    assert.deepEqual(countWork(false), { operators: 0, allocations: 0, bytes: 0 });
  });
});
