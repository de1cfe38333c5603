// Downsampling for InfluxDB 2: buckets driftflow (400 days) and driftflow-years (for good).
//   influx bucket create --name driftflow --retention 400d
//   influx bucket create --name driftflow-years --retention 0
//   influx task create --file by_day.flux
// The rolling spans as they stood at each day's end (the span of a day is the day's sum), and the features' histograms. It
// goes by the clock: of a replayed history only what is dated in the last week is kept for good.
option task = {name: "driftflow by day", every: 6h, offset: 10m}

from(bucket: "driftflow")
    |> range(start: -7d)
    |> filter(fn: (r) => (r._measurement == "windows" and r.span != "pane") or r._measurement == "pit")
    |> aggregateWindow(every: 1d, offset: 1ms, fn: last, createEmpty: false)
    |> to(bucket: "driftflow-years")
