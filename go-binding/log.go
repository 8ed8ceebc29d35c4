// SPDX-License-Identifier: Apache-2.0

package embedshim

/*
#include <embedshim/embedshim.h>

extern void embedshimLog(int level, char *message, void *userdata);

static void embedshim_set_log(int on)
{
	es_log_set(on ? (es_log_fn *)embedshimLog : NULL, NULL);
}
*/
import "C"

import (
	"sync/atomic"
	"unsafe"
)

// LogLevel is the severity of a log line: enum es_log_level.
type LogLevel int

// Severities, the most severe first.
const (
	LogError   LogLevel = C.ES_LOG_ERROR
	LogWarning LogLevel = C.ES_LOG_WARNING
	LogInfo    LogLevel = C.ES_LOG_INFO
	LogDebug   LogLevel = C.ES_LOG_DEBUG
)

type logFunc func(level LogLevel, message string)

var logReceiver atomic.Value // logFunc

//export embedshimLog
func embedshimLog(level C.int, message *C.char, _ unsafe.Pointer) {
	if fn, ok := logReceiver.Load().(logFunc); ok && fn != nil {
		fn(LogLevel(level), C.GoString(message))
	}
}

// SetLog sets the process-wide receiver of log lines; nil is silence. It must not call into the package.
func SetLog(fn func(level LogLevel, message string)) {
	logReceiver.Store(logFunc(fn))
	on := C.int(0)
	if fn != nil {
		on = 1
	}
	C.embedshim_set_log(on)
}
