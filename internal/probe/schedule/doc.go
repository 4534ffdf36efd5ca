// Package schedule runs many tasks, each in a rhythm of its own, with few goroutines.
//
// A [Scheduler] keeps its tasks in a heap by when they are due. A task that is due waits in the queue of
// its class for one of the class's workers, so that a class whose runs take long keeps no other waiting. Within
// a class the workers are shared by the groups whose tasks wait (Task.Group).
// A task that is not due costs some hundred bytes and no goroutine.
//
// What is late is told as late, and never as a fault of what a task looks at:
//
//   - A run gets a [Slot], which says when it was due, when it began, and how many slots were left out
//     before it. A timeout belongs to the run: it starts when the run does, however late that is.
//   - Runs of one key never overlap. Slots that come while a run goes on are left out.
//   - Nothing is caught up. A task that has waited for a worker until its next slot was due makes one run,
//     for the latest slot.
//   - After the whole process, or the machine, has stood still, tasks whose slots are long past are not run
//     all together: each waits for its next slot. None has to do so twice in a row.
//   - Runs begin only as fast as there is processor time for: what a process that is short of it begins all
//     the same takes so long that targets seem not to answer. [Scheduler.Stalled] tells those who judge an
//     answer that did not come whether there was anybody to hear it.
//   - When the wall clock is put back, every task is given its next slot by the new time, and none is run again for
//     the slot that it was run for last. Slots that the clock is put forward over count as missed by nobody.
package schedule
